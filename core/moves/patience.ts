/** A wait that ends when nothing moves for `limitMs`, or when somebody gives it up. */
export class Patience {
  readonly #limitMs: number;
  readonly #controller = new AbortController();
  #timer: NodeJS.Timeout;
  /** Whether it ran out, and was not given up. */
  ranOut = false;

  constructor(limitMs: number) {
    this.#limitMs = limitMs;
    this.#timer = this.#start();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Something has moved. */
  touch(): void {
    if (this.#controller.signal.aborted) return;
    clearTimeout(this.#timer);
    this.#timer = this.#start();
  }

  giveUp(): void {
    this.#controller.abort();
    this.end();
  }

  /** The wait is over. */
  end(): void {
    clearTimeout(this.#timer);
  }

  #start(): NodeJS.Timeout {
    return setTimeout(() => {
      this.ranOut = true;
      this.#controller.abort();
    }, this.#limitMs);
  }
}
