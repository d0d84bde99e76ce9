import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import type { Rehearsal } from '../contract/preflight.ts';
import type { PodRuntime } from '../pods/port.ts';
import { systemClock } from '../runtime/clock.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { PageIndex } from './page-base.ts';
import { sendState } from './state-transfer.ts';

/** Takes a state in as a target does, keeps nothing of it and confirms it. */
class Sink extends Duplex {
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done();
  }
  override _final(done: () => void): void {
    this.push('ok');
    this.push(null);
    done();
  }
}

const countWire = async (directory: string, signal: AbortSignal, index?: PageIndex) =>
  sendState(directory, new Sink(), { signal, index });

/**
 * Rehearses a move where the pod stands: copies what would be sent ahead, freezes, dumps and thaws the pod, and counts what
 * of it would have to travel. The pod runs on as after a move that was taken back. `directory` is emptied before and after.
 * `frozen` is called when the pod is about to stand still, `thawed` when it runs again.
 * @throws MoveError of the freeze or the dump, which is what a move would have failed with; the pod runs then.
 */
export async function rehearse(
  runtime: PodRuntime,
  pod: string,
  directory: string,
  options: {
    advanceLimitBytes: number;
    signal: AbortSignal;
    frozen: () => Promise<void>;
    thawed: () => Promise<void>;
  },
): Promise<Rehearsal> {
  const { signal } = options;
  const advance = join(directory, 'advance');
  const images = join(directory, 'state');
  try {
    await runtime.warm();
    const index = await copyAhead(runtime, pod, advance, options.advanceLimitBytes, signal);
    const ahead = index ? (await countWire(advance, signal)).wireBytes : 0;
    const { processes } = await runtime.status(pod);
    await options.frozen();
    const startedAt = systemClock.monotonic();
    let freezeMs = 0;
    let dumpedAt = 0;
    let sessions = 0;
    try {
      ({ sessions } = await runtime.quiesceAndFreeze(pod));
      freezeMs = systemClock.monotonic() - startedAt;
      await runtime.dump(pod, images);
      dumpedAt = systemClock.monotonic();
    } finally {
      // Also after a freeze that failed and undid itself: lifting what is not there changes nothing.
      await runtime.rollback(pod);
      await options.thawed();
    }
    const silentMs = systemClock.monotonic() - startedAt;
    const changed = await countWire(images, signal, index ?? undefined);
    const whole = index ? await countWire(images, signal) : changed;
    return {
      at: systemClock.now(),
      silentMs: Math.round(silentMs),
      freezeMs: Math.round(freezeMs),
      dumpMs: Math.round(dumpedAt - startedAt - freezeMs),
      stateBytes: changed.stateBytes,
      aheadBytes: ahead,
      wireBytes: changed.wireBytes,
      wholeWireBytes: whole.wireBytes,
      processes,
      sessions,
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** The pages that a move would send ahead; null where they are too many for that. */
async function copyAhead(
  runtime: PodRuntime,
  pod: string,
  directory: string,
  limitBytes: number,
  signal: AbortSignal,
): Promise<PageIndex | null> {
  try {
    await runtime.writeAdvance(pod, directory, { limitBytes, signal });
  } catch (thrown) {
    if (thrown instanceof MoveError && thrown.code === 'ADVANCE_TOO_LARGE') return null;
    throw toMoveError(thrown);
  }
  return PageIndex.of(directory, signal);
}
