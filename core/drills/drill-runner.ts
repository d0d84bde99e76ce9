import type { ProbeSample } from '../measure/probe-sample.ts';
import type { Clock } from '../runtime/clock.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { type DrillPlan, isAttackDrill } from './drill-plan.ts';
import type {
  DrillMoveOutcome,
  DrillPorts,
  DrillState,
  Load,
  LoadResult,
  RunningProbe,
} from './drill-ports.ts';
import type { DrillReport } from './drill-report.ts';
import { type DrillAlarm, type DrillObservations, judgeDrill, type NodeReturn } from './judge-drill.ts';

const PREPARE_LIMIT_MS = 30_000;
const FIRST_PACKET_LIMIT_MS = 10_000;
const STOP_LIMIT_MS = 10_000;
/** Right answers in a row of each person that a drill begins with. */
const STEADY_ANSWERS = 20;

/**
 * Runs one drill: the service at home and in peace, a quiet phase, the load, the wait for the move, a tail, the verdict. Whatever happens, nothing
 * it started goes on: the senders are stopped first, then the probes. `signal` is the emergency stop and
 * everything else that must end a drill (a host out of reach); its reason becomes the message.
 * @throws MoveError `DRILL_ABORTED` when `signal` fired, `DRILL_STOPPED` when a stop condition was met (too many
 * failures through the overlay, a probe or a sender that broke down), or what a port threw.
 */
export async function runDrill(
  plan: DrillPlan,
  ports: DrillPorts,
  signal: AbortSignal,
): Promise<DrillReport> {
  const run = new DrillRun(plan, ports, signal);
  try {
    const report = judgeDrill(await run.observe());
    ports.tell({ type: 'judged', at: ports.clock.now(), report });
    run.enter('judged');
    return report;
  } catch (thrown) {
    const error = toMoveError(run.reason ?? thrown);
    ports.tell({ type: 'stopped', at: ports.clock.now(), error: error.toBody() });
    run.enter(error.code === 'DRILL_ABORTED' ? 'aborted' : 'failed');
    throw error;
  }
}

class DrillRun {
  readonly #plan: DrillPlan;
  readonly #ports: DrillPorts;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  readonly #outside: AbortSignal;
  readonly #probes: RunningProbe[] = [];
  readonly #loads: Load[] = [];
  readonly #samples: Record<'overlay' | 'direct', ProbeSample[]> = { overlay: [], direct: [] };
  readonly #alarms: DrillAlarm[] = [];
  #overlayFailures = 0;
  #fault: MoveError | undefined;

  constructor(plan: DrillPlan, ports: DrillPorts, outside: AbortSignal) {
    this.#plan = plan;
    this.#ports = ports;
    this.#clock = ports.clock;
    this.#outside = outside;
  }

  /** Why the drill was stopped early. */
  get reason(): MoveError | undefined {
    return this.#fault;
  }

  enter(state: DrillState): void {
    this.#ports.tell({ type: 'state', state, at: this.#clock.now() });
  }

  async observe(): Promise<DrillObservations> {
    const abort = () =>
      this.#halt(
        new MoveError('DRILL_ABORTED', `The drill was stopped: ${reasonText(this.#outside.reason)}`),
      );
    this.#outside.addEventListener('abort', abort, { once: true });
    if (this.#outside.aborted) abort();
    const unwatch = this.#ports.watchAlarms((alarm) => this.#alarms.push(alarm));
    try {
      return await this.#phases();
    } finally {
      this.#outside.removeEventListener('abort', abort);
      unwatch();
      // Also ends a wait for a move that nobody waits for any more.
      this.#stop.abort();
      await this.#cleanUp();
    }
  }

  async #phases(): Promise<DrillObservations> {
    const { kind, quietMs, loadMs, tailMs } = this.#plan;
    this.enter('preparing');
    const preparation = await this.#within(this.#ports.prepare(this.#stop.signal), undefined, '');
    for (const way of ['overlay', 'direct'] as const) await this.#startProbe(way);
    if (kind !== 'quiet-minute') await this.#armLoads();
    await this.#steadyAnswers();
    this.enter('quiet');
    const startedAt = this.#clock.now();
    await this.#sleep(quietMs);
    const quietEndedAt = this.#clock.now();
    this.enter('attack');
    const sent = kind === 'quiet-minute' ? undefined : await this.#beginLoads();
    const since = sent?.firstPacketAt ?? quietEndedAt;
    const moved = this.#ports.awaitMove(quietEndedAt, this.#stop.signal);
    const watched = isAttackDrill(kind) ? this.#settledMove(moved, since) : this.#unexpectedMove(moved);
    const node = kind === 'node-flood' ? this.#ports.awaitReturn(since, this.#stop.signal) : undefined;
    // Asked for below; a drill that is stopped before has its own reason.
    node?.catch(() => undefined);
    const results = sent === undefined ? undefined : await this.#finishLoads();
    if (sent === undefined) await this.#sleep(loadMs);
    const outcome = isAttackDrill(kind) ? await watched : undefined;
    this.enter('tail');
    const nodeReturn = node && (await this.#returned(node));
    await this.#sleep(tailMs);
    const ringViolations = node ? await this.#ports.ringViolations(this.#stop.signal) : null;
    const endedAt = this.#clock.now();
    const late = isAttackDrill(kind) ? outcome : await Promise.race([watched, Promise.resolve(undefined)]);
    await this.#within(
      Promise.all(this.#probes.map((probe) => probe.stop())),
      this.#plan.limitMs + STOP_LIMIT_MS,
      'the probes to end',
    );
    return {
      kind,
      site: this.#plan.site,
      startedAt,
      quietEndedAt,
      endedAt,
      periodMs: this.#plan.periodMs,
      limitMs: this.#plan.limitMs,
      load: results === undefined ? undefined : joined(this.#plan.senders, results),
      alarms: this.#alarms
        .filter(({ detectedAt }) => detectedAt >= startedAt)
        .sort((left, right) => left.detectedAt - right.detectedAt),
      decidedAt: late?.decidedAt,
      move: late?.move,
      nodeReturn,
      ringViolations,
      preparation,
      overlay: this.#between(startedAt, endedAt, 'overlay'),
      direct: this.#between(startedAt, endedAt, 'direct'),
    };
  }

  async #startProbe(way: 'overlay' | 'direct'): Promise<void> {
    const onSample = (sample: ProbeSample) => {
      this.#samples[way].push(sample);
      if (way === 'direct' || sample.outcome === 'ok') return;
      this.#overlayFailures += 1;
      if (this.#overlayFailures > this.#plan.maximumOverlayFailures) {
        this.#halt(
          new MoveError(
            'DRILL_STOPPED',
            'More requests through the overlay failed than a drill may cost; it was stopped.',
            {
              failures: this.#overlayFailures,
            },
          ),
        );
      }
    };
    const failed = (cause: unknown) =>
      this.#halt(
        new MoveError(
          'DRILL_STOPPED',
          `The ${way} probe broke down, so nothing could be judged.`,
          { reason: String(cause) },
          cause,
        ),
      );
    const starting = this.#ports.startProbe(way, onSample, failed);
    // A probe that starts after the drill was given up is stopped as soon as it is there.
    starting.then(
      (probe) => {
        this.#probes.push(probe);
        if (this.#stop.signal.aborted) probe.stop().catch(failed);
      },
      () => undefined,
    );
    await this.#within(starting, PREPARE_LIMIT_MS, `the ${way} probe to start`);
  }

  /** The quiet phase begins when both people get right answers, one after the other. */
  async #steadyAnswers(): Promise<void> {
    const begun = this.#clock.monotonic();
    const answered = (way: 'overlay' | 'direct') => {
      const latest = this.#samples[way].slice(-STEADY_ANSWERS);
      return latest.length === STEADY_ANSWERS && latest.every((sample) => sample.outcome === 'ok');
    };
    while (!answered('overlay') || !answered('direct')) {
      if (this.#clock.monotonic() - begun > PREPARE_LIMIT_MS) {
        const way = answered('overlay') ? 'directly' : 'through the overlay';
        throw new MoveError(
          'DRILL_STOPPED',
          `The service does not answer ${way} even without an attack. Mend that first.`,
        );
      }
      await this.#sleep(50);
    }
    this.#overlayFailures = 0;
  }

  async #armLoads(): Promise<void> {
    const arming = this.#plan.senders.map(async (sender) => {
      const load = await this.#ports.armLoad(sender);
      this.#loads.push(load);
      load.finished.catch((cause: unknown) =>
        this.#halt(
          new MoveError(
            'DRILL_STOPPED',
            `${sender} could not send what it should: ${toMoveError(cause).message}`,
            {},
            cause,
          ),
        ),
      );
      // One that is ready after the drill was given up is stopped as soon as it is there.
      if (this.#stop.signal.aborted) await load.stop();
    });
    await this.#within(Promise.all(arming), PREPARE_LIMIT_MS, 'the senders to be ready');
  }

  async #beginLoads(): Promise<{ firstPacketAt: number }> {
    for (const load of this.#loads) load.begin();
    const starting = this.#loads.map((load) => load.firstPacketAt);
    const begun = await this.#within(Promise.all(starting), FIRST_PACKET_LIMIT_MS, 'the first packet');
    const firstPacketAt = Math.min(...begun);
    this.#ports.tell({
      type: 'flood-started',
      at: firstPacketAt,
      endsAt: firstPacketAt + this.#plan.loadMs,
      senders: this.#plan.senders,
    });
    return { firstPacketAt };
  }

  #finishLoads(): Promise<LoadResult[]> {
    return this.#within(
      Promise.all(this.#loads.map((load) => load.finished)),
      this.#plan.loadMs + STOP_LIMIT_MS,
      'the senders to finish',
    );
  }

  /** The move, or undefined when none ended in time: that is a finding, and not a fault of the drill. */
  #settledMove(moved: Promise<DrillMoveOutcome>, since: number): Promise<DrillMoveOutcome | undefined> {
    const left = Math.max(0, since + this.#plan.moveLimitMs - this.#clock.now());
    return new Promise((resolve) => {
      const cancel = this.#clock.after(left, () => resolve(undefined));
      const finish = (outcome: DrillMoveOutcome | undefined) => {
        cancel();
        resolve(outcome);
      };
      moved.then(finish, (cause: unknown) => {
        if (!this.#stop.signal.aborted) this.#halt(toMoveError(cause));
        finish(undefined);
      });
    });
  }

  /** The node's return, or undefined when it did not come back in time: that is a finding as well. */
  #returned(node: Promise<NodeReturn>): Promise<NodeReturn | undefined> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(this.#plan.moveLimitMs, () => resolve(undefined));
      const finish = (back: NodeReturn | undefined) => {
        cancel();
        resolve(back);
      };
      node.then(finish, (cause: unknown) => {
        if (!this.#stop.signal.aborted) this.#halt(toMoveError(cause));
        finish(undefined);
      });
    });
  }

  /** Where no move is expected it is only noticed. A wait that ends with the drill is no fault. */
  #unexpectedMove(moved: Promise<DrillMoveOutcome>): Promise<DrillMoveOutcome | undefined> {
    return moved.catch((cause: unknown) => {
      if (!this.#stop.signal.aborted) this.#halt(toMoveError(cause));
      return undefined;
    });
  }

  /** What was asked while the drill lasted, whenever it was answered. */
  #between(from: number, to: number, way: 'overlay' | 'direct'): ProbeSample[] {
    return this.#samples[way].filter((sample) => sample.startedAt >= from && sample.startedAt <= to);
  }

  #halt(fault: MoveError): void {
    if (this.#stop.signal.aborted) return;
    this.#fault = fault;
    this.#stop.abort(fault);
  }

  async #cleanUp(): Promise<void> {
    const quietly = (stopping: Promise<void>) => stopping.catch(() => undefined);
    await Promise.all(this.#loads.map((load) => quietly(load.stop())));
    await Promise.all(this.#probes.map((probe) => quietly(probe.stop())));
  }

  #sleep(ms: number): Promise<void> {
    return this.#within(new Promise<void>((resolve) => this.#clock.after(ms, resolve)), undefined, '');
  }

  /** Waits for `work`, no longer than the limit and not beyond a stop. */
  #within<Value>(work: Promise<Value>, limitMs: number | undefined, what: string): Promise<Value> {
    return new Promise((resolve, reject) => {
      const cancel =
        limitMs === undefined
          ? () => undefined
          : this.#clock.after(limitMs, () => {
              settle();
              reject(new MoveError('DRILL_STOPPED', `The drill waited in vain for ${what}.`, { limitMs }));
            });
      const stopped = () => {
        settle();
        reject(this.#stop.signal.reason);
      };
      const settle = () => {
        cancel();
        this.#stop.signal.removeEventListener('abort', stopped);
      };
      this.#stop.signal.addEventListener('abort', stopped, { once: true });
      if (this.#stop.signal.aborted) stopped();
      work.then(
        (value) => {
          settle();
          resolve(value);
        },
        (cause: unknown) => {
          settle();
          reject(cause);
        },
      );
    });
  }
}

function joined(senders: readonly string[], results: readonly LoadResult[]): DrillObservations['load'] {
  const firstPacketAt = Math.min(...results.map((result) => result.firstPacketAt));
  const lastPacketAt = Math.max(...results.map((result) => result.lastPacketAt));
  return {
    senders,
    firstPacketAt,
    lastPacketAt,
    offeredMbit: results.reduce((sum, result) => sum + result.offeredMbit, 0),
    seconds: (lastPacketAt - firstPacketAt) / 1000,
  };
}

function reasonText(reason: unknown): string {
  if (reason instanceof MoveError) return reason.message;
  return typeof reason === 'string' ? reason : 'somebody asked for it.';
}
