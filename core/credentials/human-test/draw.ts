import type { Random } from '../../runtime/random.ts';

/** Draws from a Random what pictures and sounds need. */
export class Draw {
  readonly #random: Random;
  #stock: Buffer = Buffer.alloc(0);
  #used = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** A number in [low, high), in steps of a 2^24th of the range. */
  between(low: number, high: number): number {
    // in stocks, because a cryptographic generator is slow when it is asked for every number
    if (this.#used + 3 > this.#stock.length) {
      this.#stock = this.#random.bytes(3072);
      this.#used = 0;
    }
    const number = this.#stock.readUIntBE(this.#used, 3);
    this.#used += 3;
    return low + ((high - low) * number) / (1 << 24);
  }

  /** `value` up to `by` more or less. */
  around(value: number, by: number): number {
    return this.between(value - by, value + by);
  }

  /** One of `choices`, which are not empty, each as likely as any other. */
  pick<Choice>(choices: readonly Choice[]): Choice {
    return choices[this.#random.below(choices.length)]!;
  }

  /** A whole number in [low, high]. */
  whole(low: number, high: number): number {
    return low + this.#random.below(high - low + 1);
  }

  /** True in `chance` of all cases. */
  chance(chance: number): boolean {
    return this.between(0, 1) < chance;
  }
}
