import type { Duplex } from 'node:stream';

/**
 * Reads a stream step by step, under one deadline (milliseconds) and one bound (bytes) for all of it. What has
 * arrived is handed out before an end or a fault is told.
 */
export class BoundedReader {
  readonly #stream: Duplex;
  readonly #timer: NodeJS.Timeout;
  readonly #limitBytes: number;
  #held = Buffer.alloc(0);
  #total = 0;
  #ended = false;
  #error: Error | undefined;
  #wake: () => void = () => undefined;

  constructor(stream: Duplex, limits: { deadlineMs: number; bytes: number }) {
    this.#stream = stream;
    this.#limitBytes = limits.bytes;
    this.#timer = setTimeout(
      () => this.#stop(new Error(`no complete answer within ${limits.deadlineMs} ms`)),
      limits.deadlineMs,
    );
    stream.on('data', this.#onData);
    stream.on('end', this.#onEnd);
    stream.on('close', this.#onEnd);
    stream.on('error', this.#onError);
  }

  /**
   * Exactly `size` bytes, or undefined when the stream ends before.
   * @throws Error that the stream broke with, or that says which limit was passed.
   */
  async take(size: number): Promise<Buffer | undefined> {
    while (this.#held.length < size) {
      if (this.#error) throw this.#error;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const part = this.#held.subarray(0, size);
    this.#held = this.#held.subarray(size);
    return part;
  }

  /** Lets go of the stream, which is paused until somebody else reads it; answers what came and was not taken. */
  release(): Buffer {
    clearTimeout(this.#timer);
    this.#stream.pause();
    this.#stream.off('data', this.#onData);
    this.#stream.off('end', this.#onEnd);
    this.#stream.off('close', this.#onEnd);
    this.#stream.off('error', this.#onError);
    return this.#held;
  }

  /** Ends the stream with the reading. */
  close(): void {
    clearTimeout(this.#timer);
    this.#stream.destroy();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#held = Buffer.concat([this.#held, chunk]);
    this.#total += chunk.length;
    if (this.#total > this.#limitBytes) this.#stop(new Error('the answer is too long'));
    this.#wake();
  };
  readonly #onEnd = (): void => this.#stop(undefined);
  readonly #onError = (error: Error): void => this.#stop(error);

  #stop(error: Error | undefined): void {
    this.#error ??= error;
    this.#ended = true;
    this.#wake();
  }
}
