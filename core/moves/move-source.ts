import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { type Endpoint, sourceStateSchema } from '../contract/agent-contract.ts';
import type { Rehearsal } from '../contract/preflight.ts';
import type { PodRuntime } from '../pods/port.ts';
import { systemClock } from '../runtime/clock.ts';
import { DurableFile } from '../runtime/durable-file.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import type { Link } from '../runtime/link/link.ts';
import {
  chooseLevel,
  measuredRate,
  measureLevels,
  plainLevel,
  unmeasuredLevel,
} from './compression-choice.ts';
import { inPhase } from './in-phase.ts';
import { PageIndex, readSample } from './page-base.ts';
import { Patience } from './patience.ts';
import { podIdentifier } from './pod-of-service.ts';
import { rehearse } from './rehearsal.ts';
import type { SpareBase } from './spare-keeper.ts';
import { type SentState, type StateProgress, sendState } from './state-transfer.ts';
import type { StonePath } from './stone-path.ts';

const sourcesSchema = z.record(
  z.string(),
  z.object({ service: z.string(), epoch: z.number().int(), state: sourceStateSchema, target: z.string() }),
);
type Sources = z.infer<typeof sourcesSchema>;

export interface PhaseTime {
  phase: string;
  startedAt: number;
  endedAt: number;
}

export interface SourceResult {
  phases: PhaseTime[];
  stateBytes: number;
  /** Those that were sent while it was frozen. */
  wireBytes: number;
  /** Those that were sent ahead. */
  aheadBytes: number;
  sessions: number;
}

export interface ShipProgress extends StateProgress {
  move: string;
  startedAt: number;
  level: number;
}

interface Advance {
  bytes: number;
  /** By which what is left is compressed: measured on the pod's own pages, this processor and this link. */
  level: number;
  /** What the target has of the pod's pages. */
  index: PageIndex;
}

/** A state that does not move for so long, or is not there after so long, is given up. */
const shipStallMs = 20_000;
const shipDeadlineMs = 900_000;
const tellProgressMs = 200;
/** Levels are tried on so much of what is sent ahead. */
const sampleBytes = 1 << 18;
/** What is sent ahead has so long, may hold a freeze up for so long once all else is prepared, and be so large. */
const advanceDeadlineMs = 10_000;
const advanceGraceMs = 500;
export const advanceLimitBytes = 64 << 20;
const advanceRetryMs = 30;
const rehearsalDeadlineMs = 60_000;
const wayDeadlineMs = 3_000;
/** The quickest of so many is taken: what is slower waited for something. */
const waysMeasured = 3;
const endedKept = 20;

/**
 * The attacked site's side of moves. A pod that was frozen here stays frozen until the controller says
 * that the move was committed (`kill`) or taken back (`rollback`): nothing else wakes it, not a lost
 * connection and not a restart of the agent (DESIGN.md, decision 4).
 */
export class MoveSource {
  readonly #runtime: PodRuntime;
  readonly #path: StonePath;
  readonly #runDirectory: string;
  readonly #file: DurableFile<Sources>;
  readonly #log: (line: string) => void;
  readonly #tellProgress: (progress: ShipProgress) => void;
  readonly #spareAt: (service: string, target: string) => Promise<SpareBase | null>;
  readonly #links = new Map<string, Link>();
  /** What is sent ahead of moves, or was. */
  readonly #advances = new Map<string, { outcome: Promise<Advance | null>; stop: AbortController }>();
  readonly #busy = new Set<string>();
  /** Pods that may stand still for a rehearsal; on disk, because an agent that dies then has to thaw them. */
  readonly #rehearsedFile: DurableFile<string[]>;
  /** Rehearsals under way, by service. */
  readonly #rehearsals = new Map<string, Promise<unknown>>();
  #sources: Sources = {};

  constructor(options: {
    runtime: PodRuntime;
    path: StonePath;
    stateDirectory: string;
    runDirectory: string;
    log: (line: string) => void;
    tellProgress: (progress: ShipProgress) => void;
    /** What the target has already, because it is kept current with the service. */
    spareAt: (service: string, target: string) => Promise<SpareBase | null>;
  }) {
    this.#runtime = options.runtime;
    this.#path = options.path;
    this.#log = options.log;
    this.#tellProgress = options.tellProgress;
    this.#spareAt = options.spareAt;
    this.#runDirectory = join(options.runDirectory, 'leaving');
    this.#file = new DurableFile(join(options.stateDirectory, 'sources.json'), sourcesSchema);
    this.#rehearsedFile = new DurableFile(
      join(options.stateDirectory, 'rehearsed.json'),
      z.array(z.string()),
    );
  }

  /** Takes up what was under way before a restart: moves wait for the controller, rehearsals are over. */
  async restore(): Promise<void> {
    this.#sources = await this.#file.read({});
    for (const service of await this.#rehearsedFile.read([])) {
      if (!this.isLeaving(service))
        await this.#runtime
          .rollback(podIdentifier(service))
          .catch((thrown) => this.#log(`after a rehearsal of ${service}: ${toMoveError(thrown).message}`));
    }
    await this.#rehearsedFile.write([]);
  }

  list(): { move: string; service: string; epoch: number; state: z.infer<typeof sourceStateSchema> }[] {
    return Object.entries(this.#sources).map(([move, { service, epoch, state }]) => ({
      move,
      service,
      epoch,
      state,
    }));
  }

  /** Whether the service is being carried away just now, so that its sessions have to wait. */
  isLeaving(service: string): boolean {
    return Object.values(this.#sources).some(
      (source) => source.service === service && ['frozen', 'dumped', 'shipped'].includes(source.state),
    );
  }

  /** Whether a move of the service has begun here and not ended, or a rehearsal is under way. */
  isBusy(service: string): boolean {
    return (
      this.#rehearsals.has(service) ||
      Object.values(this.#sources).some(
        (source) => source.service === service && !['killed', 'rolled-back'].includes(source.state),
      )
    );
  }

  /**
   * Freezes, dumps and thaws the service's pod where it stands, and says what a move would cost. A move that begins
   * meanwhile waits for its end before it freezes.
   * @throws MoveError `MOVE_CONFLICT` while the service leaves or is rehearsed, or what a move would fail with.
   */
  rehearse(service: string, onFrozen: () => void): Promise<Rehearsal> {
    if (this.#rehearsals.has(service) || this.isLeaving(service))
      throw new MoveError(
        'MOVE_CONFLICT',
        `${service} is ${this.isLeaving(service) ? 'leaving this site' : 'being rehearsed'} just now. Try again when that has ended.`,
        { service },
      );
    const rehearsal = rehearse(
      this.#runtime,
      podIdentifier(service),
      join(this.#runDirectory, `rehearsal-${podIdentifier(service)}`),
      {
        advanceLimitBytes,
        signal: AbortSignal.timeout(rehearsalDeadlineMs),
        frozen: async () => {
          await this.#rehearsedFile.write([...this.#rehearsals.keys()]);
          onFrozen();
        },
        thawed: () =>
          this.#rehearsedFile.write([...this.#rehearsals.keys()].filter((other) => other !== service)),
      },
    ).finally(() => this.#rehearsals.delete(service));
    this.#rehearsals.set(service, rehearsal);
    return rehearsal;
  }

  /** Resolves when no rehearsal of the service is under way (any more). */
  async rehearsed(service: string): Promise<void> {
    await this.#rehearsals.get(service)?.catch(() => undefined);
  }

  /** The round trip to another site by the stepping stone, in milliseconds. @throws MoveError when it cannot be reached. */
  async measureWay(target: Endpoint): Promise<number> {
    const link = await this.#path.link(target, 'site');
    try {
      const trips: number[] = [];
      for (let asked = 0; asked < waysMeasured; asked += 1) trips.push(await link.roundTrip(wayDeadlineMs));
      return Math.min(...trips);
    } finally {
      link.close();
    }
  }

  /**
   * Opens the way to the target and begins to send ahead what it can, without waiting for that.
   * @throws MoveError `SERVICE_NOT_HERE`, `MOVE_CONFLICT`, or that of the way.
   */
  async prepare(move: string, service: string, epoch: number, target: Endpoint): Promise<void> {
    await this.#runtime.status(podIdentifier(service)).catch((thrown) => {
      throw new MoveError('SERVICE_NOT_HERE', `${service} does not run on this site.`, { service }, thrown);
    });
    const other = Object.entries(this.#sources).find(
      ([id, source]) =>
        id !== move && source.service === service && !['killed', 'rolled-back'].includes(source.state),
    );
    if (other)
      throw new MoveError('MOVE_CONFLICT', `${service} is already leaving in move ${other[0]}.`, {
        move: other[0],
      });
    this.#links.get(move)?.close();
    const [link] = await Promise.all([this.#path.link(target, 'site'), this.#runtime.warm()]);
    this.#links.set(move, link);
    await this.#set(move, { service, epoch, state: 'prepared', target: target.name });
    this.#advances.get(move)?.stop.abort();
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(advanceDeadlineMs)]);
    const outcome = this.#sendAhead(move, { service, target: target.name }, link, signal).catch((thrown) => {
      const why = stop.signal.aborted ? 'it took too long' : toMoveError(thrown).message;
      this.#log(`move ${move}: nothing is sent ahead, all of it goes later: ${why}`);
      return null;
    });
    this.#advances.set(move, { outcome, stop });
  }

  /**
   * Lets the target have the pages that the pod has now, so that of a frozen pod only those that changed travel; where
   * it is kept current, it gets those alone that it lacks.
   */
  async #sendAhead(
    move: string,
    { service, target }: { service: string; target: string },
    link: Link,
    signal: AbortSignal,
  ): Promise<Advance> {
    const directory = join(this.#runDirectory, move, 'advance');
    try {
      const [found] = await Promise.all([
        this.#spareAt(service, target),
        this.#runtime.writeAdvance(podIdentifier(service), directory, {
          limitBytes: advanceLimitBytes,
          signal,
        }),
      ]);
      let spare = found;
      let begun = 0;
      const send = async (): Promise<SentState> => {
        for (;;) {
          try {
            begun = systemClock.monotonic();
            const stream = link.openStreamNow({ kind: 'advance', move, onSpare: spare?.name ?? null });
            return await sendState(directory, stream, { signal, index: spare?.index });
          } catch (thrown) {
            const { code } = toMoveError(thrown);
            // What was kept there is gone, or a later round than the last one that is known here to have arrived.
            if (code === 'SPARE_UNKNOWN') spare = null;
            else if (code !== 'MOVE_UNKNOWN') throw thrown;
            // Both ends prepare at the same time: this one was first.
            else await delay(advanceRetryMs, undefined, { signal });
          }
        }
      };
      const timed = send().then(({ wireBytes }) => ({
        wireBytes,
        bytesPerSecond:
          measuredRate(wireBytes, (systemClock.monotonic() - begun) / 1_000) ?? spare?.bytesPerSecond ?? null,
      }));
      const [sent, index, measures] = await Promise.all([
        timed,
        PageIndex.of(directory, signal),
        measureLevels(readSample(directory, sampleBytes), signal),
      ]);
      const level = chooseLevel(measures, sent.bytesPerSecond);
      this.#log(
        `move ${move}: ${Math.round((sent.bytesPerSecond ?? 0) / 1000)} kB/s to the target, zstd level ${level}`,
      );
      return { bytes: sent.wireBytes, index, level };
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  /** What was sent ahead, or null: people under attack wait no longer than the grace for what is still on its way. */
  async #settleAdvance(move: string): Promise<Advance | null> {
    const advance = this.#advances.get(move);
    if (!advance) return null;
    const timer = setTimeout(() => advance.stop.abort(), advanceGraceMs);
    try {
      return await advance.outcome;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Performs consecutive steps. @throws MoveError `MOVE_UNKNOWN`, or the step's own. */
  async run(move: string, steps: readonly ('freeze' | 'dump' | 'ship')[]): Promise<SourceResult> {
    const source = this.#source(move);
    const id = podIdentifier(source.service);
    const images = join(this.#runDirectory, move, 'state');
    const result: SourceResult = { phases: [], stateBytes: 0, wireBytes: 0, aheadBytes: 0, sessions: 0 };
    const timed = async (phase: 'freeze' | 'dump' | 'ship', act: () => Promise<void>) => {
      const startedAt = systemClock.now();
      await act().catch((thrown) => {
        throw inPhase(phase, thrown);
      });
      result.phases.push({ phase, startedAt, endedAt: systemClock.now() });
    };
    this.#busy.add(move);
    try {
      await this.rehearsed(source.service);
      const advance = await this.#settleAdvance(move);
      if (steps.includes('ship')) result.aheadBytes = advance?.bytes ?? 0;
      for (const step of steps) {
        if (step === 'freeze') {
          // On disk before it happens: whoever restarts knows that the pod may be frozen.
          await this.#set(move, { ...source, state: 'frozen' });
          await timed(step, async () => {
            const times = await this.#runtime.quiesceAndFreeze(id);
            result.sessions = times.sessions;
            if (!times.drained || times.inFlight > 0)
              this.#log(
                `move ${move}: the freeze cut connections off: ${times.drained ? 'none' : 'some'} were not accepted yet, ` +
                  `${times.inFlight} had an answer on the way`,
              );
          });
        } else if (step === 'dump') {
          await mkdir(images, { recursive: true, mode: 0o700 });
          await timed(step, async () => {
            await this.#runtime.dump(id, images);
          });
          this.#sources[move] = { ...source, state: 'dumped' };
        } else {
          await timed(step, async () => {
            const link = this.#links.get(move);
            if (!link?.isOpen)
              throw new MoveError(
                'TARGET_UNREACHABLE',
                'The way to the target broke before the state could go.',
                { move },
              );
            const index = advance?.index;
            const level = advance?.level ?? unmeasuredLevel;
            const sent = await this.#ship(move, link, images, { index, level });
            result.stateBytes = sent.stateBytes;
            result.wireBytes = sent.wireBytes;
          });
          this.#sources[move] = { ...source, state: 'shipped' };
        }
      }
    } finally {
      this.#busy.delete(move);
    }
    return result;
  }

  /** Sends the state, and tells some times a second how far it has come. */
  async #ship(
    move: string,
    link: Link,
    images: string,
    { index, level }: { index: PageIndex | undefined; level: number },
  ): Promise<SentState> {
    const startedAt = systemClock.now();
    const patience = new Patience(shipStallMs);
    let toldAt = 0;
    const onProgress = (progress: StateProgress) => {
      patience.touch();
      const now = systemClock.monotonic();
      if (now - toldAt < tellProgressMs) return;
      toldAt = now;
      this.#tellProgress({ move, startedAt, level, ...progress });
    };
    try {
      const stream = link.openStreamNow({
        kind: 'state',
        move,
        onAdvance: index !== undefined,
        isPlain: level === plainLevel,
      });
      const signal = AbortSignal.any([patience.signal, AbortSignal.timeout(shipDeadlineMs)]);
      return await sendState(images, stream, { signal, index, level, onProgress });
    } finally {
      patience.end();
    }
  }

  /** After the commit: the frozen pod dies without running again, and its files go. */
  async kill(move: string): Promise<void> {
    const source = this.#source(move);
    if (source.state === 'killed') return;
    const id = podIdentifier(source.service);
    await this.#runtime.kill(id);
    await this.#set(move, { ...source, state: 'killed' });
  }

  /**
   * Kills what earlier moves left frozen of a service that comes here again with `epoch`: it runs elsewhere with a
   * later epoch than theirs, so they were committed. Whoever asks for their kill later finds it done.
   */
  async giveUp(service: string, epoch: number): Promise<boolean> {
    let found = false;
    for (const [move, source] of Object.entries(this.#sources)) {
      if (source.service !== service || source.epoch >= epoch) continue;
      if (source.state === 'killed' || source.state === 'rolled-back') continue;
      found = true;
      await this.#runtime.discard(podIdentifier(service));
      await this.#set(move, { ...source, state: 'killed' });
      await this.#clear(move);
    }
    return found;
  }

  /** Removes what a killed pod left behind; people wait for its kill, not for this. */
  async tidy(move: string): Promise<void> {
    const source = this.#source(move);
    if (source.state !== 'killed') return;
    await this.#runtime.discard(podIdentifier(source.service));
    await this.#clear(move);
  }

  /**
   * Before the commit: the pod runs on as if nothing had been.
   * @throws MoveError `MOVE_COMMITTED` when it has been killed, `STEP_RUNNING` while a dump goes on (a dump is never cut).
   */
  async rollback(move: string): Promise<void> {
    const source = this.#source(move);
    if (source.state === 'killed')
      throw new MoveError('MOVE_COMMITTED', 'The pod was killed after the commit; nothing thaws it.', {
        move,
      });
    if (source.state === 'rolled-back') return;
    this.#links.get(move)?.close();
    for (let waited = 0; this.#busy.has(move); waited += 10) {
      if (waited > 9_000)
        throw new MoveError('STEP_RUNNING', 'The dump still runs and is never cut short. Try again.', {
          move,
        });
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    if (this.#source(move).state !== 'prepared') await this.#runtime.rollback(podIdentifier(source.service));
    await this.#set(move, { ...source, state: 'rolled-back' });
    await this.#clear(move);
  }

  /** Closes the ways out. What is frozen stays frozen. */
  stop(): void {
    for (const { stop } of this.#advances.values()) stop.abort();
    for (const link of this.#links.values()) link.close();
    this.#links.clear();
  }

  async #clear(move: string): Promise<void> {
    this.#advances.get(move)?.stop.abort();
    this.#advances.delete(move);
    this.#links.get(move)?.close();
    this.#links.delete(move);
    await rm(join(this.#runDirectory, move), { recursive: true, force: true });
  }

  #source(move: string): Sources[string] {
    const source = this.#sources[move];
    if (!source) throw new MoveError('MOVE_UNKNOWN', `This site knows nothing of a move ${move}.`, { move });
    return source;
  }

  async #set(move: string, source: Sources[string]): Promise<void> {
    this.#sources = { ...this.#sources, [move]: source };
    const ended = Object.entries(this.#sources).filter(
      ([, { state }]) => state === 'killed' || state === 'rolled-back',
    );
    for (const [old] of ended.slice(0, Math.max(0, ended.length - endedKept))) delete this.#sources[old];
    await this.#file.write(this.#sources);
  }
}
