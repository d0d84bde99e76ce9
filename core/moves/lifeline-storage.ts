import { z } from 'zod';
import { type Endpoint, endpointSchema } from '../contract/agent-contract.ts';
import { DurableFile } from '../runtime/durable-file.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import type { IncomingStream, Link } from '../runtime/link/link.ts';
import type { StonePath } from './stone-path.ts';
import { serveStorage } from './storage-server.ts';

const wantedSchema = z.record(z.string(), z.object({ path: z.string(), target: endpointSchema }));
type Wanted = z.infer<typeof wantedSchema>;

export type LifelineState = 'opening' | 'open' | 'cut' | 'closed';

interface Kept {
  path: string;
  target: Endpoint;
  link: Link | null;
  state: LifelineState;
  bytes: number;
  stop: AbortController;
  /** The service moves on from this target: it is used until the other side lets go of it, and not made anew. */
  isLeaving: boolean;
}

const retryFromMs = 100;
const retryToMs = 2_000;

/**
 * The storage's end of lifelines: for every service whose storage stayed here, keeps a link dialled
 * through the stepping stone to the site where the service now is, and serves the storage to streams
 * that come in over it. What is wanted survives a restart of the agent. While a service moves on to a third site, the
 * one that it leaves keeps its lifeline until its copy there is killed.
 */
export class LifelineStorage {
  readonly #file: DurableFile<Wanted>;
  readonly #path: StonePath;
  readonly #tell: (service: string, state: LifelineState) => void;
  readonly #kept = new Map<string, Kept>();
  /** One at most for each service. */
  readonly #leaving = new Map<string, Kept>();

  constructor(options: {
    file: string;
    path: StonePath;
    tell: (service: string, state: LifelineState) => void;
  }) {
    this.#file = new DurableFile(options.file, wantedSchema);
    this.#path = options.path;
    this.#tell = options.tell;
  }

  /** Takes up again what was wanted before a restart. */
  async restore(): Promise<void> {
    for (const [service, wanted] of Object.entries(await this.#file.read({})))
      this.#keep(service, wanted.path, wanted.target);
  }

  /** Wants a lifeline of `service` to `target` from now on, and resolves when it is open for the first time. */
  async open(service: string, path: string, target: Endpoint, deadlineMs = 8_000): Promise<void> {
    const existing = this.#kept.get(service);
    if (existing?.target.name === target.name && existing.link?.isOpen) return;
    const left = this.#leaving.get(service);
    this.#leaving.delete(service);
    if (left?.target.name === target.name && left.link?.isOpen) {
      // The move on was taken back.
      this.#drop(service);
      left.isLeaving = false;
      this.#kept.set(service, left);
      this.#tell(service, 'open');
      await this.#save();
      return;
    }
    if (left) this.#end(left);
    if (existing?.link?.isOpen && existing.target.name !== target.name) {
      existing.isLeaving = true;
      this.#leaving.set(service, existing);
    } else if (existing) this.#end(existing);
    const kept = this.#keep(service, path, target);
    await this.#save();
    const until = performance.now() + deadlineMs;
    while (kept.state !== 'open') {
      if (kept.stop.signal.aborted)
        throw new MoveError('CANCELLED', 'The lifeline was closed while it was opening.');
      if (performance.now() > until)
        throw new MoveError(
          'LIFELINE_UNREACHABLE',
          `No lifeline to ${target.name} could be opened within ${deadlineMs} ms.`,
        );
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async close(service: string): Promise<void> {
    if (!this.#kept.has(service)) return;
    this.#drop(service);
    this.#tell(service, 'closed');
    await this.#save();
  }

  status(): {
    service: string;
    state: 'opening' | 'open' | 'cut';
    bytes: number;
    roundTripMs: number | null;
  }[] {
    return [...this.#kept].map(([service, kept]) => ({
      service,
      state: kept.state === 'closed' ? 'cut' : kept.state,
      bytes: kept.bytes,
      roundTripMs: kept.link?.rttMs ?? null,
    }));
  }

  /** Ends every link; what is wanted stays wanted for the next start. */
  stop(): void {
    for (const kept of [...this.#kept.values(), ...this.#leaving.values()]) this.#end(kept);
    this.#kept.clear();
    this.#leaving.clear();
  }

  #keep(service: string, path: string, target: Endpoint): Kept {
    const kept: Kept = {
      path,
      target,
      link: null,
      state: 'opening',
      bytes: 0,
      stop: new AbortController(),
      isLeaving: false,
    };
    this.#kept.set(service, kept);
    this.#tell(service, 'opening');
    void this.#maintain(service, kept);
    return kept;
  }

  #drop(service: string): void {
    for (const among of [this.#kept, this.#leaving]) {
      const kept = among.get(service);
      among.delete(service);
      if (kept) this.#end(kept);
    }
  }

  #end(kept: Kept): void {
    kept.stop.abort();
    kept.link?.close();
  }

  async #maintain(service: string, kept: Kept): Promise<void> {
    let delay = retryFromMs;
    while (!kept.stop.signal.aborted) {
      try {
        const link = await this.#path.link(kept.target, 'site', {
          onStream: (incoming) => void this.#serve(service, kept, incoming),
        });
        if (kept.stop.signal.aborted) {
          link.close();
          return;
        }
        // The other side takes the link as this service's lifeline from here on.
        await link.call('lifeline.offer', { service }, { deadlineMs: 4_000 });
        kept.link = link;
        kept.state = 'open';
        delay = retryFromMs;
        this.#tell(service, 'open');
        await link.closed;
        kept.link = null;
        if (kept.stop.signal.aborted) return;
        if (kept.isLeaving) {
          if (this.#leaving.get(service) === kept) this.#leaving.delete(service);
          return;
        }
        kept.state = 'cut';
        this.#tell(service, 'cut');
      } catch {
        // Not silent: the state stays "opening" or "cut" for everyone to see, and it is tried again.
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, delay);
        kept.stop.signal.addEventListener(
          'abort',
          () => {
            clearTimeout(timer);
            resolve();
          },
          { once: true },
        );
      });
      delay = Math.min(delay * 2, retryToMs);
    }
  }

  async #serve(service: string, kept: Kept, incoming: IncomingStream): Promise<void> {
    const header = z
      .object({ kind: z.literal('lifeline'), service: z.literal(service) })
      .safeParse(incoming.header);
    if (!header.success) {
      incoming.refuse(
        new MoveError(
          'STREAM_UNKNOWN',
          'A lifeline carries the storage of its own service and nothing else.',
        ),
      );
      return;
    }
    try {
      const stream = incoming.accept();
      await serveStorage(kept.path, stream, (bytes) => {
        kept.bytes += bytes;
      });
    } catch (thrown) {
      incoming.stream.reset(toMoveError(thrown));
    }
  }

  async #save(): Promise<void> {
    const wanted: Wanted = Object.fromEntries(
      [...this.#kept].map(([service, kept]) => [service, { path: kept.path, target: kept.target }]),
    );
    await this.#file.write(wanted);
  }
}
