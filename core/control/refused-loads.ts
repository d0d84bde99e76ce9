import { createInterface } from 'node:readline';
import {
  olderSpool,
  REFUSAL_SPOOL_PATH,
  type RefusedLoad,
  refusedLoadSchema,
} from '../drills/refusal-spool.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { type RemoteProgram, shellQuote } from '../fleet/host-connection.ts';
import type { Journal } from '../journal/journal.ts';
import { toMoveError } from '../runtime/errors.ts';
import type { Recorder } from './recorder.ts';

const retryMs = 3_000;
/** Somebody who tries again and again is journalled once in a while, not each time. */
const silenceMs = 10_000;
/** More than all spools of a fleet can hold. */
const remembered = 50_000;
const entryType = 'flood.refused';

/** What was there before, then what is added; it ends within a second of the connection that it was started by. */
const follow =
  `cat ${shellQuote(olderSpool(REFUSAL_SPOOL_PATH))} 2>/dev/null; ` +
  `exec tail -q -n +1 -s 1 --pid=$PPID -F ${shellQuote(REFUSAL_SPOOL_PATH)} 2>/dev/null`;

interface RefusedLoadsOptions {
  /** Those that are looked at; asked once, at the start. */
  hosts: () => readonly string[];
  fleet: Pick<Fleet, 'connection'>;
  journal: Pick<Journal, 'records'>;
  recorder: Pick<Recorder, 'record'>;
  log: (line: string) => void;
}

/**
 * Journals the floods and surges that a host's own guard refused, whoever started them there, and also those of
 * a time without a control plane: each host keeps its notes, and they are read from the beginning at each
 * connection. What stands in the journal already is known by its host, its target and the host's time.
 */
export class RefusedLoads {
  readonly #options: RefusedLoadsOptions;
  readonly #journalled = new Map<string, number>();
  readonly #programs = new Set<RemoteProgram>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #stopped = false;

  constructor(options: RefusedLoadsOptions) {
    this.#options = options;
  }

  /** Begins to follow every host, and goes on until `stop`. */
  start(): void {
    for (const { data } of this.#options.journal.records({ types: [entryType] }))
      if (typeof data.host === 'string' && typeof data.target === 'string' && typeof data.at === 'number')
        this.#remember(`${data.host} ${data.target}`, data.at);
    for (const host of this.#options.hosts()) void this.#follow(host);
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers) clearTimeout(timer);
    for (const program of this.#programs) program.kill();
  }

  async #follow(host: string): Promise<void> {
    try {
      const connection = await this.#options.fleet.connection(host);
      const program = await connection.start(follow);
      this.#programs.add(program);
      if (this.#stopped) program.kill();
      program.stderr.resume();
      createInterface({ input: program.stdout }).on('line', (line) => this.#take(host, line));
      await program.exited;
      this.#programs.delete(program);
    } catch {
      // A host that cannot be reached is shown as such by its agent's connection; its notes wait.
    }
    if (this.#stopped) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      void this.#follow(host);
    }, retryMs);
    this.#timers.add(timer);
  }

  #take(host: string, line: string): void {
    if (this.#stopped) return;
    try {
      const refused = refusedLoadSchema.parse(JSON.parse(line));
      const key = `${host} ${refused.target}`;
      const last = this.#journalled.get(key);
      if (last !== undefined && refused.at < last + silenceMs) return;
      this.#remember(key, refused.at);
      this.#record(host, refused);
    } catch (thrown) {
      // Notes are written by whoever is root on that host: no line of theirs may end the control plane.
      this.#options.log(`a refusal noted on ${host} cannot be read: ${toMoveError(thrown).message}`);
    }
  }

  #record(host: string, { at, purpose, target, message }: RefusedLoad): void {
    this.#options.recorder.record({
      kind: 'observation',
      type: entryType,
      tone: 'attack',
      text: `${host} refused to send to ${target}: ${message}`,
      subject: host,
      actor: `host:${host}`,
      data: { code: 'FLOOD_REFUSED', host, target, purpose, at },
    });
  }

  #remember(key: string, at: number): void {
    this.#journalled.delete(key);
    this.#journalled.set(key, at);
    const [oldest] = this.#journalled.keys();
    if (this.#journalled.size > remembered && oldest !== undefined) this.#journalled.delete(oldest);
  }
}
