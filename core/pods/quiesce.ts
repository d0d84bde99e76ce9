import { setTimeout as delay } from 'node:timers/promises';
import type { FreezeTimes, GatewayStats } from './port.ts';

export interface QuiesceSteps {
  fence(): Promise<void>;
  pause(): Promise<GatewayStats>;
  /** Connections in the accept queues of the pod. */
  waiting(): number;
  freeze(): Promise<void>;
  /** Opens, resumes and thaws again, whatever was done so far. */
  undo(): Promise<void>;
}

/**
 * Brings a running pod to a stand from which it can be checkpointed without losing a connection:
 *
 * 1. fence: no packet from outside may arrive half-done, none may leave that the image knows nothing of;
 * 2. pause the gateway: it closes its unix connections (a checkpoint cannot carry their far ends),
 *    keeps its sessions, and opens no new connection into the service;
 * 3. wait until the service has accepted what the gateway had opened: a connection still in an accept
 *    queue belongs to no process and is not carried. Bounded by `drainMs`, since an overloaded
 *    service may never catch up; `drained` says how it went;
 * 4. freeze.
 *
 * On an error everything is undone and the error thrown.
 */
export async function quiesceAndFreeze(steps: QuiesceSteps, drainMs: number): Promise<FreezeTimes> {
  const marks = [performance.now()];
  try {
    await steps.fence();
    marks.push(performance.now());
    const stats = await steps.pause();
    marks.push(performance.now());
    let waiting = steps.waiting();
    while (waiting > 0 && performance.now() - marks[2]! < drainMs) {
      await delay(1);
      waiting = steps.waiting();
    }
    marks.push(performance.now());
    await steps.freeze();
    const end = performance.now();
    return {
      fenceMs: marks[1]! - marks[0]!,
      pauseMs: marks[2]! - marks[1]!,
      drainMs: marks[3]! - marks[2]!,
      freezeMs: end - marks[3]!,
      totalMs: end - marks[0]!,
      drained: waiting === 0,
      sessions: stats.sessions,
    };
  } catch (error) {
    await steps.undo();
    throw error;
  }
}
