import { Agent, type ClientRequestArgs } from 'node:http';
import type { Duplex } from 'node:stream';
import { toMoveError } from '../../runtime/errors.ts';
import { LinkStream } from '../../runtime/link/link-stream.ts';
import { asHttpSocket } from '../http/http-socket.ts';
import type { Opened } from './way.ts';
import type { Stale } from './ways.ts';

/** Connections to services, kept alive between requests for as long as the way they go is the right one. */
export class StreamAgent extends Agent {
  readonly #open: (service: string, port: number) => Promise<Opened>;
  readonly #openedOf = new WeakMap<Duplex, Opened>();
  readonly #spent = new WeakSet<Duplex>();

  constructor(open: (service: string, port: number) => Promise<Opened>, keepAlive: boolean) {
    super({ keepAlive, maxSockets: 48, maxFreeSockets: 32, scheduling: 'lifo' });
    this.#open = open;
  }

  openedBy(stream: Duplex | null): Opened | undefined {
    return stream ? this.#openedOf.get(stream) : undefined;
  }

  /** Lets go of idle connections that are stale, and of the others when their answer is complete. */
  drop(stale: Stale): void {
    const isStale = (stream: Duplex) => {
      const opened = this.#openedOf.get(stream);
      return opened !== undefined && stale(opened) !== 'fine';
    };
    for (const stream of Object.values(this.freeSockets).flatMap((idle) => idle ?? []))
      if (isStale(stream)) stream.destroy();
    for (const stream of Object.values(this.sockets).flatMap((busy) => busy ?? []))
      if (isStale(stream)) this.#spent.add(stream);
  }

  override keepSocketAlive(stream: Duplex): boolean {
    // Node means to return whether it keeps the connection, and its types say nothing of it.
    const keeps = (super.keepSocketAlive as (kept: Duplex) => unknown)(stream);
    return keeps !== false && !this.#spent.has(stream);
  }

  override createConnection(
    options: ClientRequestArgs,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    this.#open(String(options.host), Number(options.port ?? 80)).then(
      (opened) => {
        const { stream } = opened;
        this.#openedOf.set(stream, opened);
        callback?.(null, stream instanceof LinkStream ? asHttpSocket(stream) : stream);
      },
      (thrown) => callback?.(toMoveError(thrown), undefined as unknown as Duplex),
    );
    return undefined;
  }
}
