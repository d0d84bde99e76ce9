import type { Duplex } from 'node:stream';
import type { LabHosts } from '../system/world/lab-hosts.ts';

const pauseMs = 20;
const reconnectMs = 100;

/**
 * A person who counts in a Redis, one INCR after the other, over as many connections as it takes, and remembers the
 * highest number that was ever acknowledged. What was acknowledged must never be forgotten.
 */
export class CountingClient {
  readonly #dial: () => Promise<Duplex>;
  #stream: Duplex | null = null;
  #stopped = false;
  readonly #ended: Promise<void>;
  /** The highest number that the store has answered with, and when it answered last. */
  acknowledged = 0;
  answeredAt = performance.now();
  connections = 0;
  /** Answers that were not above everything acknowledged before: a write was lost. */
  readonly lost: string[] = [];

  private constructor(dial: () => Promise<Duplex>) {
    this.#dial = dial;
    this.#ended = this.#run();
  }

  /** Begins to count at a port that the person's own forwarder opens on `host`. */
  static start(hosts: LabHosts, host: string, port: number): CountingClient {
    return new CountingClient(() => hosts.tcp(host, '127.0.0.1', port));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stream?.destroy();
    await this.#ended;
  }

  /** After a loss that is no fault of a move: begins to count anew. */
  forget(): void {
    this.acknowledged = 0;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        this.#stream = await this.#dial();
        this.connections += 1;
        await this.#count(this.#stream);
      } catch {
        // The way is broken, as it may be while a fault lasts; the next connection goes on.
      }
      if (!this.#stopped) await new Promise((resolve) => setTimeout(resolve, reconnectMs));
    }
  }

  async #count(stream: Duplex): Promise<void> {
    const lines = this.#lines(stream);
    while (!this.#stopped) {
      stream.write('INCR count\r\n');
      const { value, done } = await lines.next();
      if (done || !value.startsWith(':')) throw new Error(`the store said ${value ?? 'nothing'}`);
      const count = Number(value.slice(1));
      if (count <= this.acknowledged)
        this.lost.push(`${count} came after ${this.acknowledged} had been acknowledged`);
      this.acknowledged = count;
      this.answeredAt = performance.now();
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    stream.destroy();
  }

  async *#lines(stream: Duplex): AsyncGenerator<string> {
    let text = '';
    for await (const chunk of stream) {
      text += String(chunk);
      for (let end = text.indexOf('\r\n'); end >= 0; end = text.indexOf('\r\n')) {
        yield text.slice(0, end);
        text = text.slice(end + 2);
      }
    }
  }
}
