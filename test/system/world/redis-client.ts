import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';

/** What the sample store holds under `value:N`, as its start script makes it. */
export function storedValue(n: number): string {
  const words = Array.from({ length: 25 }, (_, part) =>
    createHash('sha1')
      .update(`${n} ${part + 1}`)
      .digest('hex'),
  );
  return words.join('');
}

/**
 * One connection to a Redis, in its protocol (RESP 2): commands are sent at once, answers come in their order. Whatever
 * else happens to the connection is in `faults`.
 */
export class RedisClient {
  readonly faults: string[] = [];
  readonly #stream: Duplex;
  readonly #waiting: { resolve: (answer: string) => void; reject: (error: Error) => void }[] = [];
  #held = Buffer.alloc(0);
  #closing = false;

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on('data', (chunk: Buffer) => {
      this.#held = Buffer.concat([this.#held, chunk]);
      while (this.#take());
    });
    stream.on('error', (error) => this.#end(error.message));
    stream.on('close', () => this.#end('closed'));
  }

  /** Sends a command; the answer is a simple, whole or bulk value as text. An error of the server rejects. */
  ask(...words: string[]): Promise<string> {
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`);
    this.#stream.write(`*${words.length}\r\n${parts.join('')}`);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  close(): void {
    this.#closing = true;
    this.#stream.destroy();
  }

  #end(reason: string): void {
    if (this.#closing) return;
    this.faults.push(reason);
    for (const { reject } of this.#waiting.splice(0)) reject(new Error(reason));
  }

  /** Takes one whole answer out of what has arrived; false when there is none. */
  #take(): boolean {
    const end = this.#held.indexOf('\r\n');
    if (end < 0) return false;
    const line = this.#held.toString('latin1', 1, end);
    const kind = String.fromCharCode(this.#held[0] ?? 0);
    let rest = end + 2;
    let value = line;
    if (kind === '$') {
      const length = Number(line);
      if (this.#held.length < rest + length + 2) return false;
      value = this.#held.toString('utf8', rest, rest + length);
      rest += length + 2;
    } else if (!'+-:'.includes(kind)) this.faults.push(`an answer that begins with ${kind}`);
    this.#held = this.#held.subarray(rest);
    const next = this.#waiting.shift();
    if (!next) this.faults.push(`an answer that nobody asked for: ${line}`);
    else if (kind === '-') next.reject(new Error(line));
    else next.resolve(value);
    return true;
  }
}
