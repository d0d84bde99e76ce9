import type { Writable } from 'node:stream';

/** Bytes that may wait for a reader that has stopped reading. */
const MAXIMUM_WAITING = 4 << 20;

/**
 * Writes values as lines of JSON, gathered for `gatherMs` so that a hundred small lines a second cost a
 * few writes. Bounded: what a stopped reader leaves waiting beyond 4 MiB is dropped and counted.
 */
export class JsonLines {
  readonly #output: Writable;
  readonly #gatherMs: number;
  #lines: string[] = [];
  #timer: NodeJS.Timeout | undefined;
  #broken = false;
  #dropped = 0;

  constructor(output: Writable, gatherMs = 50) {
    this.#output = output;
    this.#gatherMs = gatherMs;
    output.on('error', () => {
      this.#broken = true;
    });
  }

  /** Lines that could not be handed over. */
  get dropped(): number {
    return this.#dropped;
  }

  /** True once the reader has closed its end. */
  get broken(): boolean {
    return this.#broken;
  }

  write(value: unknown): void {
    this.#lines.push(`${JSON.stringify(value)}\n`);
    this.#timer ??= setTimeout(() => this.#hand(), this.#gatherMs);
  }

  /** Hands everything over; resolves once the reader's side has taken it, or at once when it is gone. */
  async finish(): Promise<void> {
    this.#hand();
    if (this.#broken) return;
    await new Promise<void>((resolve) => {
      this.#output.once('error', () => resolve());
      this.#output.write('', () => resolve());
    });
  }

  #hand(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const lines = this.#lines;
    this.#lines = [];
    if (lines.length === 0) return;
    if (this.#broken || this.#output.writableLength > MAXIMUM_WAITING) {
      this.#dropped += lines.length;
      return;
    }
    this.#output.write(lines.join(''));
  }
}
