import { Agent, type ClientRequestArgs } from 'node:http';
import type { Duplex } from 'node:stream';
import { toMoveError } from '../../runtime/errors.ts';

/** Connections to services as streams that `open` makes, kept alive between requests where that is asked for. */
export class StreamAgent extends Agent {
  readonly #open: (service: string, port: number) => Duplex | Promise<Duplex>;

  constructor(
    open: (service: string, port: number) => Duplex | Promise<Duplex>,
    keepAlive: boolean,
    maximum: number,
  ) {
    super({ keepAlive, maxSockets: maximum, maxFreeSockets: maximum, scheduling: 'lifo' });
    this.#open = open;
  }

  override createConnection(
    options: ClientRequestArgs,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    Promise.resolve()
      .then(() => this.#open(String(options.host), Number(options.port ?? 80)))
      .then(
        (stream) => callback?.(null, stream),
        (thrown) => callback?.(toMoveError(thrown), undefined as unknown as Duplex),
      );
    return undefined;
  }
}
