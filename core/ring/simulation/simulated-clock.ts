import type { Clock } from '../../runtime/clock.ts';

interface Timer {
  at: number;
  order: number;
  run: (() => void) | null;
}

const before = (a: Timer, b: Timer): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

/** Lets everything that is waiting on promises run, without any time passing. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Time that passes only when told to; timers run in order of their moment, then of their making. */
export class SimulatedClock implements Clock {
  readonly #heap: Timer[] = [];
  #now = 0;
  #made = 0;

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  after(delayMs: number, run: () => void): () => void {
    this.#made += 1;
    const timer: Timer = { at: this.#now + Math.max(0, delayMs), order: this.#made, run };
    this.#push(timer);
    return () => {
      timer.run = null;
    };
  }

  /**
   * Lets time pass up to `until` (milliseconds), running what falls due. `observe` is called after each
   * event, once everything it set off has come to rest; returning false ends the run early.
   */
  async runUntil(until: number, observe: () => boolean = () => true): Promise<void> {
    await settle();
    for (;;) {
      const first = this.#heap[0];
      if (!first || first.at > until) break;
      this.#pop();
      if (!first.run) continue;
      this.#now = first.at;
      first.run();
      await settle();
      if (!observe()) return;
    }
    this.#now = Math.max(this.#now, until);
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let place = heap.push(timer) - 1;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!before(timer, heap[parent] as Timer)) break;
      heap[place] = heap[parent] as Timer;
      place = parent;
    }
    heap[place] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Timer;
    if (heap.length === 0) return;
    let place = 0;
    for (;;) {
      let child = place * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Timer, heap[child] as Timer)) child += 1;
      if (!before(heap[child] as Timer, last)) break;
      heap[place] = heap[child] as Timer;
      place = child;
    }
    heap[place] = last;
  }
}
