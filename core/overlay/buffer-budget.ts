import type { Clock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';

/** Something that holds bytes for somebody until they are taken. */
export interface Holder {
  /** Whose they are: the serial number of a certificate. */
  owner: string;
  /** Bytes in memory now. */
  bytes(): number;
  /** Bytes that were taken since it began. */
  moved(): number;
  cut(error: MoveError): void;
}

export interface BufferBudgetOptions {
  clock: Clock;
  /** Bytes that may be held for one owner. */
  eachBytes: number;
  /** Bytes that may be held for all. */
  wholeBytes: number;
  /** Milliseconds in which a holder must have moved as much as it holds, to be spared. */
  graceMs: number;
  sweepMs: number;
}

export const defaultBufferBudget = {
  eachBytes: 8 << 20,
  wholeBytes: 256 << 20,
  graceMs: 1000,
  sweepMs: 250,
};

interface Held {
  holder: Holder;
  bytes: number;
  /** When it last had moved as much as it held, and how much it had moved then. */
  turnedAt: number;
  turnedWith: number;
}

/**
 * Bounds what is held in memory for readers that do not read. Each connection may hold a window, so that whoever opens
 * many and reads none could hold gigabytes. When one owner's or all bytes are over the budget, those connections are cut
 * whose bytes have lain there the longest; of all owners the one first that holds the most. A reader that turns
 * over what is held for it within the grace is never cut, however much it carries.
 */
export class BufferBudget {
  readonly #options: BufferBudgetOptions;
  readonly #held = new Set<Held>();
  #cancelSweep: (() => void) | undefined;

  constructor(options: BufferBudgetOptions) {
    this.#options = options;
  }

  /** Watches a holder until the returned function is called. */
  add(holder: Holder): () => void {
    const held = {
      holder,
      bytes: 0,
      turnedAt: this.#options.clock.monotonic(),
      turnedWith: holder.moved(),
    };
    this.#held.add(held);
    this.#cancelSweep ??= this.#sweepLater();
    return () => {
      this.#held.delete(held);
    };
  }

  close(): void {
    this.#held.clear();
    this.#cancelSweep?.();
    this.#cancelSweep = undefined;
  }

  #sweepLater(): () => void {
    return this.#options.clock.after(this.#options.sweepMs, () => {
      this.#cancelSweep = undefined;
      this.#sweep();
      if (this.#held.size > 0) this.#cancelSweep = this.#sweepLater();
    });
  }

  #sweep(): void {
    const now = this.#options.clock.monotonic();
    const byOwner = new Map<string, number>();
    let whole = 0;
    for (const held of this.#held) {
      held.bytes = held.holder.bytes();
      const moved = held.holder.moved();
      if (moved - held.turnedWith >= held.bytes) {
        held.turnedAt = now;
        held.turnedWith = moved;
      }
      whole += held.bytes;
      byOwner.set(held.holder.owner, (byOwner.get(held.holder.owner) ?? 0) + held.bytes);
    }
    const { eachBytes, wholeBytes } = this.#options;
    for (const [owner, bytes] of byOwner)
      if (bytes > eachBytes) {
        const freed = this.#cut(owner, bytes - eachBytes, now);
        whole -= freed;
        byOwner.set(owner, bytes - freed);
      }
    if (whole <= wholeBytes) return;
    for (const [owner, bytes] of [...byOwner].sort(([, left], [, right]) => right - left)) {
      if (whole <= wholeBytes) return;
      whole -= this.#cut(owner, Math.min(bytes, whole - wholeBytes), now);
    }
  }

  /** Cuts holders of one owner until `excess` bytes are free or none is left that may be cut; returns the bytes. */
  #cut(owner: string, excess: number, now: number): number {
    const old = [...this.#held]
      .filter(
        (held) =>
          held.holder.owner === owner && held.bytes > 0 && now - held.turnedAt >= this.#options.graceMs,
      )
      .sort((left, right) => left.turnedAt - right.turnedAt);
    let freed = 0;
    for (const held of old) {
      if (freed >= excess) break;
      freed += held.bytes;
      this.#held.delete(held);
      held.holder.cut(
        new MoveError(
          'BUFFERS_FULL',
          'This connection was cut because too much waits unread for this certificate; read it, or open fewer.',
        ),
      );
    }
    return freed;
  }
}
