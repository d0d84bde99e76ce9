import type { ErrorBody } from '../contract/error-body.ts';
import type { ProbeSample } from '../measure/probe-sample.ts';
import type { Clock } from '../runtime/clock.ts';
import type { DrillReport } from './drill-report.ts';
import type { DrillAlarm, DrillMove, NodeReturn } from './judge-drill.ts';

/** A person who keeps asking. */
export interface RunningProbe {
  /** Ends the asking, waits for outstanding answers; every sample has been handed over when it resolves. May be called twice. */
  stop(): Promise<void>;
}

/** What one host has sent. Times are ms since the epoch. */
export interface LoadResult {
  firstPacketAt: number;
  lastPacketAt: number;
  offeredMbit: number;
}

/** A host that stands ready to send, and then does. */
export interface Load {
  /** Begins to send; called once. What became of it is told by the promises below. */
  begin(): void;
  /** Resolves when the first packet (or request) leaves. */
  firstPacketAt: Promise<number>;
  /** Resolves when everything has been sent, rejects when the sender failed. */
  finished: Promise<LoadResult>;
  /** Stops sending at once. Must be safe to call at any time, and twice. */
  stop(): Promise<void>;
}

/** What the decision was and what became of it. */
export interface DrillMoveOutcome {
  decidedAt: number;
  move: DrillMove;
}

export type DrillState = 'preparing' | 'quiet' | 'attack' | 'tail' | 'judged' | 'aborted' | 'failed';

/** What a drill tells while it runs, for the journal and the state. Times are ms since the epoch. */
export type DrillEvent =
  | { type: 'state'; state: DrillState; at: number }
  | { type: 'flood-started'; at: number; endsAt: number; senders: readonly string[] }
  | { type: 'judged'; at: number; report: DrillReport }
  | { type: 'stopped'; at: number; error: ErrorBody };

/** Everything a drill does outside itself. The control plane implements it over SSH. */
export interface DrillPorts {
  clock: Clock;
  /**
   * Brings about what every drill begins with: nobody is attacked, and the one copy of the service runs at its
   * home. Answers what a reader of the report has to know about it. Bounds its own waits; a stop ends them.
   */
  prepare(signal: AbortSignal): Promise<readonly string[]>;
  /** Starts a person on a client host. `failed` is called when the probe itself breaks down. */
  startProbe(
    way: 'overlay' | 'direct',
    onSample: (sample: ProbeSample) => void,
    failed: (error: unknown) => void,
  ): Promise<RunningProbe>;
  /** Makes one host ready to send. Nothing of it may reach a detector by any way but the wire. */
  armLoad(sender: string): Promise<Load>;
  /** Calls back with each alarm at the site; returns how to end it. */
  watchAlarms(onAlarm: (alarm: DrillAlarm) => void): () => void;
  /** Resolves when a move of the service that was decided after `since` has ended, whichever way. */
  awaitMove(since: number, signal: AbortSignal): Promise<DrillMoveOutcome>;
  /** Resolves when the flooded overlay node, which noticed at or after `since`, is back on the ring. */
  awaitReturn(since: number, signal: AbortSignal): Promise<NodeReturn>;
  /** How many lasting violations of its invariant the live ring shows just now. */
  ringViolations(signal: AbortSignal): Promise<number>;
  tell(event: DrillEvent): void;
}
