import type { Clock } from '../../core/runtime/clock.ts';

/** A clock that stands until it is turned by hand. */
export class HandClock implements Clock {
  #now: number;
  #timers: { at: number; run: () => void }[] = [];

  constructor(now = 1_000) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { at: this.#now + Math.max(0, delayMs), run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }

  /** Lets time pass; timers run when theirs has come, in order. */
  turn(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const due = this.#timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.#now = Math.max(this.#now, due.at);
      due.run();
    }
    this.#now = end;
  }

  /** The process stands still: everything that is due runs once, at the end. */
  stumble(ms: number): void {
    this.#now += ms;
    const due = this.#timers.filter((timer) => timer.at <= this.#now);
    this.#timers = this.#timers.filter((timer) => !due.includes(timer));
    for (const timer of due) timer.run();
  }

  /** Turns the clock until `work` has settled. Fails when nothing is left that could settle it. */
  async until<Value>(work: Promise<Value>): Promise<Value> {
    let settled = false;
    const done = () => {
      settled = true;
    };
    work.then(done, done);
    for (let turns = 0; !settled; turns += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      if (settled) break;
      this.#timers.sort((left, right) => left.at - right.at);
      const next = this.#timers.shift();
      if (next === undefined || turns > 100_000) throw new Error('nothing is left to wait for');
      this.#now = next.at;
      next.run();
    }
    return work;
  }

  /** Timers that are set. */
  get pending(): number {
    return this.#timers.length;
  }
}
