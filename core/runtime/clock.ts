/** Time as a parameter: the same code runs on the machine's clock and on a simulated one. */
export interface Clock {
  /** Milliseconds since the epoch, for records that people read and certificates check. */
  now(): number;
  /** Milliseconds that never jump, for durations and deadlines. */
  monotonic(): number;
  /** Calls `run` once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, run: () => void): () => void;
}

/** The machine's own clock. Its timers do not keep a process alive. */
export const systemClock: Clock = {
  now: () => performance.timeOrigin + performance.now(),
  monotonic: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
