import { MoveError, toMoveError } from '../runtime/errors.ts';
import type { FreezeTimes, GatewayStats } from './port.ts';

export interface QuiesceSteps {
  fence(): Promise<void>;
  /** Pauses the gateway, which answers once the accept queues are empty or 100 ms have passed. */
  pause(): Promise<GatewayStats>;
  freeze(): Promise<void>;
  /** Waits, for a bounded while, until no answer is on its way from a socket that its process has closed. */
  settle(): Promise<{ first: number; left: number }>;
  /** Opens, resumes and thaws again, whatever was done so far. */
  undo(): Promise<void>;
}

/**
 * Brings a running pod to a stand from which it can be checkpointed without losing a connection:
 *
 * 1. fence: no packet from outside may arrive half-done, none may leave that the image knows nothing of;
 * 2. pause the gateway: it closes its unix connections (a checkpoint cannot carry their far ends),
 *    keeps its sessions, and opens no new connection into the service. Before it answers it waits until
 *    the service has accepted what was opened: a connection still in an accept queue belongs to no
 *    process and is not carried. The wait is bounded, since an overloaded service may never catch up;
 *    `drained` says how it went;
 * 3. freeze;
 * 4. let what the service has said and closed arrive at the gateway: it belongs to no process either.
 *
 * On an error everything is undone and the error thrown; should undoing fail too, the error says so in
 * its details.
 */
export async function quiesceAndFreeze(steps: QuiesceSteps): Promise<FreezeTimes> {
  const start = performance.now();
  try {
    await steps.fence();
    const fenced = performance.now();
    const stats = await steps.pause();
    const paused = performance.now();
    await steps.freeze();
    const frozen = performance.now();
    const inFlight = await steps.settle();
    const end = performance.now();
    return {
      fenceMs: fenced - start,
      pauseMs: paused - fenced,
      freezeMs: frozen - paused,
      settleMs: end - frozen,
      totalMs: end - start,
      drained: stats.waiting === 0,
      inFlight: inFlight.left,
      sessions: stats.sessions,
    };
  } catch (error) {
    const cause = toMoveError(error);
    try {
      await steps.undo();
    } catch (undoError) {
      const undo = toMoveError(undoError);
      throw new MoveError(cause.code, cause.message, { ...cause.details, undo: undo.toBody() }, error);
    }
    throw cause;
  }
}
