import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { systemClock } from '../runtime/clock.ts';
import { DurableFile } from '../runtime/durable-file.ts';
import { toMoveError } from '../runtime/errors.ts';
import { type QuietLevelsState, quietLevelsSchema } from '../sites/attack/quiet-levels.ts';
import { RequestClassifier, type RequestEvent } from '../sites/attack/request-classifier.ts';
import { FigureTaker } from '../sites/attack/request-figures.ts';
import { type ReadablePod, readPod } from '../sites/attack/request-sampler.ts';

const everyMs = 400;
const keptEveryMs = 60_000;
/** A service that is away for less than this may be on its way back: a move that is taken back ends no attack. */
const awayAfterMs = 10_000;

/** Services whose quiet times are remembered. */
const keptMost = 64;

const keptSchema = z.record(z.string(), quietLevelsSchema);
type Kept = z.infer<typeof keptSchema>;

interface Watched {
  classifier: RequestClassifier;
  taker: FigureTaker;
  /** Milliseconds of the monotonic clock; undefined while it is away. */
  seenAt: number | undefined;
}

interface RequestSignalsOptions {
  stateDirectory: string;
  /** The pods that run here and are not about to leave. */
  pods: () => Promise<readonly (ReadablePod & { service: string })[]>;
  /** Whether a flood fills the link: who starves on it says nothing about himself. */
  linkFlooded: () => boolean;
  tell: (event: RequestEvent, service: string) => void;
  log: (line: string) => void;
}

/** Watches who asks the services of a site, and keeps what their quiet times are like. */
export class RequestSignals {
  readonly #options: RequestSignalsOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #file: DurableFile<Kept>;
  readonly #stop = new AbortController();
  #kept: Kept = {};
  #keptAt = systemClock.monotonic();
  #running: Promise<void> = Promise.resolve();
  #said = '';

  constructor(options: RequestSignalsOptions) {
    this.#options = options;
    this.#file = new DurableFile(join(options.stateDirectory, 'quiet-levels.json'), keptSchema);
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    try {
      this.#kept = await this.#file.read({});
    } catch (thrown) {
      this.#options.log(`quiet times are learnt anew: ${toMoveError(thrown).message}`);
    }
    while (!signal.aborted) {
      await this.#round().catch((thrown: unknown) => this.#complain(toMoveError(thrown).message));
      await pause(everyMs, undefined, { signal }).catch(() => undefined);
    }
    await this.#keep();
  }

  async #round(): Promise<void> {
    for (const pod of await this.#options.pods()) {
      const watched = this.#of(pod.service);
      watched.seenAt = systemClock.monotonic();
      const reading = await readPod(pod, this.#stop.signal);
      const flooded = this.#options.linkFlooded();
      const figures = reading && watched.taker.take(reading, watched.classifier.quiet && !flooded);
      if (flooded) continue;
      for (const event of figures ? watched.classifier.observe(figures) : [])
        this.#options.tell(event, pod.service);
    }
    const now = systemClock.monotonic();
    for (const [service, watched] of this.#watched) {
      if (watched.seenAt === undefined || now - watched.seenAt < awayAfterMs) continue;
      watched.seenAt = undefined;
      watched.taker.forgetConnections();
      for (const event of watched.classifier.left(systemClock.now())) this.#options.tell(event, service);
    }
    if (now - this.#keptAt >= keptEveryMs) await this.#keep();
  }

  #of(service: string): Watched {
    const found = this.#watched.get(service);
    if (found) return found;
    const before: QuietLevelsState | undefined = this.#kept[service];
    const made = { classifier: new RequestClassifier(before), taker: new FigureTaker(), seenAt: undefined };
    this.#watched.set(service, made);
    for (const [other, { seenAt, classifier }] of this.#watched) {
      if (this.#watched.size <= keptMost) break;
      if (seenAt !== undefined || other === service) continue;
      this.#kept = { ...this.#kept, [other]: classifier.state() };
      this.#watched.delete(other);
    }
    return made;
  }

  async #keep(): Promise<void> {
    this.#keptAt = systemClock.monotonic();
    const kept = { ...this.#kept };
    for (const [service, { classifier }] of this.#watched) {
      // Those that ran here last come last, and stay.
      delete kept[service];
      kept[service] = classifier.state();
    }
    this.#kept = Object.fromEntries(Object.entries(kept).slice(-keptMost));
    await this.#file
      .write(this.#kept)
      .catch((thrown: unknown) => this.#complain(toMoveError(thrown).message));
  }

  #complain(message: string): void {
    if (message !== this.#said && !this.#stop.signal.aborted)
      this.#options.log(`requests are not watched: ${message}`);
    this.#said = message;
  }
}
