import { createInterface } from 'node:readline';
import { z } from 'zod';
import type { Fleet } from '../fleet/fleet.ts';
import type { RemoteProgram } from '../fleet/host-connection.ts';
import { endOf, type ProbeSample, probeSampleSchema } from '../measure/probe-sample.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';

/** By which way a seat asks for the service. */
export type SeatPath = 'overlay' | 'direct';

const seatLineSchema = z.union([
  z.object({ ready: z.literal(true), accessPoint: z.string().nullable() }),
  z.object({ sample: probeSampleSchema }),
  z.object({ accessPoint: z.string() }),
  z.object({ waiting: z.number().int() }),
  z.object({ error: z.object({ code: z.string(), message: z.string() }) }),
]);

export interface SeatOptions {
  fleet: Fleet;
  host: string;
  path: SeatPath;
  service: string;
  /** What the seat program takes on its standard input; holds a key, so it never stands in an argument. */
  configuration: () => Promise<Record<string, unknown>>;
  log: (line: string) => void;
}

const program = '/opt/move/bin/node /opt/move/dist/agent.mjs seat';
const samplesKept = 60_000;
const retryMs = 1_000;

/**
 * One person's place in front of the service: a program on a client host that asks for a page over and
 * over, through the overlay or directly. It tells the console what people see, in quiet times slowly and
 * during moves and drills every 10 ms.
 */
export class Seat {
  readonly path: SeatPath;
  readonly service: string;
  readonly host: string;
  readonly #options: SeatOptions;
  readonly #listeners = new Set<(sample: ProbeSample) => void>();
  readonly #paces = new Map<symbol, number>();
  readonly #samples: ProbeSample[] = [];
  #program: RemoteProgram | null = null;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;
  waiting = 0;
  accessPoint: string | null = null;

  constructor(options: SeatOptions) {
    this.#options = options;
    this.path = options.path;
    this.service = options.service;
    this.host = options.host;
  }

  /** Starts the program and keeps it running until `stop`. */
  start(): void {
    void this.#run();
  }

  onSample(listener: (sample: ProbeSample) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Asks every `periodMs` until the returned function is called; the fastest wish counts. */
  pace(periodMs: number): () => void {
    const wish = Symbol();
    this.#paces.set(wish, periodMs);
    this.#sendPace();
    return () => {
      this.#paces.delete(wish);
      this.#sendPace();
    };
  }

  /** The samples that began at or after `from`, oldest first. */
  samplesSince(from: number): ProbeSample[] {
    return this.#samples.filter((sample) => sample.startedAt >= from);
  }

  /** When the first right answer at or after `notBefore` was complete; null when none was within the limit. */
  firstRightAnswer(notBefore: number, limitMs: number): Promise<number | null> {
    const earlier = this.#samples
      .filter((sample) => sample.outcome === 'ok' && endOf(sample) >= notBefore)
      .map(endOf)
      .sort((a, b) => a - b)[0];
    if (earlier !== undefined) return Promise.resolve(earlier);
    return new Promise((resolve) => {
      const finish = (at: number | null) => {
        stop();
        clearTimeout(timer);
        resolve(at);
      };
      const timer = setTimeout(() => finish(null), limitMs);
      const stop = this.onSample((sample) => {
        if (sample.outcome === 'ok' && endOf(sample) >= notBefore) finish(endOf(sample));
      });
    });
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#program?.kill();
    this.#program = null;
  }

  async #run(): Promise<void> {
    if (this.#stopped) return;
    try {
      const connection = await this.#options.fleet.connection(this.host);
      const configuration = await this.#options.configuration();
      const running = await connection.start(program);
      if (this.#stopped) {
        running.kill();
        return;
      }
      this.#program = running;
      running.stdin.write(`${JSON.stringify(configuration)}\n`);
      this.#sendPace();
      createInterface({ input: running.stdout }).on('line', (line) => this.#take(line));
      createInterface({ input: running.stderr }).on('line', (line) =>
        this.#options.log(`seat on ${this.host}: ${line}`),
      );
      await running.exited;
    } catch (thrown) {
      this.#options.log(`seat on ${this.host}: ${toMoveError(thrown).message}`);
    }
    this.#program = null;
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#run(), retryMs);
  }

  #take(line: string): void {
    const parsed = seatLineSchema.safeParse(parseJson(line));
    if (!parsed.success) return;
    const message = parsed.data;
    if ('sample' in message) {
      this.#samples.push(message.sample);
      if (this.#samples.length > samplesKept) this.#samples.splice(0, samplesKept / 4);
      for (const listener of this.#listeners) listener(message.sample);
      const { outcome, startedAt, durationMs, detail } = message.sample;
      if (outcome !== 'ok' && this.path === 'overlay')
        this.#options.log(
          `seat on ${this.host}: ${outcome} ${detail ?? ''}, asked at ${new Date(startedAt).toISOString()}, ended after ${Math.round(durationMs)} ms`,
        );
    } else if ('waiting' in message) this.waiting = message.waiting;
    else if ('error' in message)
      this.#options.log(`seat on ${this.host}: ${message.error.code} ${message.error.message}`);
    else this.accessPoint = message.accessPoint;
  }

  #sendPace(): void {
    if (!this.#program) return;
    const periodMs = Math.min(quietPeriodMs, ...this.#paces.values());
    this.#program.stdin.write(`${JSON.stringify({ periodMs })}\n`);
  }
}

/** How often a seat asks when nothing happens. */
export const quietPeriodMs = 250;

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** The seat of a path in front of a service. @throws MoveError `SEAT_MISSING` when there is none. */
export function seatOf(seats: readonly Seat[], path: SeatPath, service: string): Seat {
  const seat = seats.find((candidate) => candidate.path === path && candidate.service === service);
  if (!seat)
    throw new MoveError('SEAT_MISSING', `Nobody sits in front of ${service} to use it by the ${path} path.`);
  return seat;
}
