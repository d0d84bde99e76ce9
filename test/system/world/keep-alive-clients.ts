import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

/**
 * A program for a client host: many clients, each with one connection over which it asks for a page again and again, as
 * browsers do: one that the service closes between two answers is made anew, and a question that was on its way just then
 * is asked once more (RFC 9112 §9.3.1); twice in a row, or a reset, or another answer, is a fault. Options as one line of JSON
 * on standard input; ends when standard input closes, and then prints one line with what all of them saw. An answer
 * has to have a content-length.
 */
interface Options {
  /** Ports of this host, over which the clients are spread in turn. */
  ports: number[];
  clients: number;
  host: string;
  path: string;
  bytes: number;
  /** From one answer to the next question. */
  pauseMs: number;
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const first = await lines.next();
const { ports, clients, host, path, bytes, pauseMs } = JSON.parse(first.value as string) as Options;
const request = `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;
/** Nobody who finds his connection closed hammers at the door. */
const redialMs = 250;
const faults: string[] = [];
let resets = 0;
let answers = 0;
let renewed = 0;
let askedAgain = 0;
let longestMs = 0;
let stopped = false;

class Client {
  readonly #port: number;
  #socket: Socket;
  #held = Buffer.alloc(0);
  #askedAt: number | null = null;
  #isAgain = false;

  constructor(port: number) {
    this.#port = port;
    this.#socket = this.#dial();
    this.#ask();
  }

  stop(): void {
    this.#socket.destroy();
  }

  #dial(): Socket {
    const socket = connect({ host: '127.0.0.1', port: this.#port });
    this.#held = Buffer.alloc(0);
    socket.once('connect', () => {
      if (this.#askedAt !== null) socket.write(request);
    });
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNRESET') resets += 1;
      else faults.push(error.message);
    });
    socket.once('close', () => this.#closed());
    return socket;
  }

  /** Where no connection is open, the next one asks. */
  #ask(): void {
    if (stopped) return;
    this.#askedAt = performance.now();
    if (this.#socket.readyState === 'open') this.#socket.write(request);
  }

  #read(chunk: Buffer): void {
    this.#held = Buffer.concat([this.#held, chunk]);
    const end = this.#held.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = this.#held.toString('latin1', 0, end);
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1]);
    if (this.#held.length < end + 4 + length) return;
    if (!/^HTTP\/1\.1 200 /.test(head) || length !== bytes) faults.push(head.split('\r\n')[0] ?? '');
    this.#held = this.#held.subarray(end + 4 + length);
    answers += 1;
    longestMs = Math.max(longestMs, performance.now() - (this.#askedAt ?? performance.now()));
    this.#askedAt = null;
    this.#isAgain = false;
    setTimeout(() => this.#ask(), pauseMs);
  }

  #closed(): void {
    if (stopped) return;
    if (this.#askedAt === null) renewed += 1;
    else if (this.#held.length > 0 || this.#isAgain)
      faults.push(
        this.#held.length > 0 ? 'closed in the midst of an answer' : 'closed twice before its answer',
      );
    else {
      askedAgain += 1;
      this.#isAgain = true;
    }
    setTimeout(() => {
      if (!stopped) this.#socket = this.#dial();
    }, redialMs);
  }
}

const all = Array.from({ length: clients }, (_, index) => new Client(ports[index % ports.length]!));
process.stdout.write(`${JSON.stringify({ begun: clients })}\n`);
await lines.next();
stopped = true;
for (const client of all) client.stop();
const seen = { answers, resets, renewed, askedAgain, faults, longestMs: Math.round(longestMs) };
process.stdout.write(`${JSON.stringify(seen)}\n`, () => process.exit(0));
