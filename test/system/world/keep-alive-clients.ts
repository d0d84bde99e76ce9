import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

/**
 * A program for a client host: many clients, each with one connection that it never makes anew, over which it asks
 * for a page again and again. Options as one line of JSON on standard input; ends when standard input closes, and then
 * prints one line with what all of them saw. An answer has to have a content-length.
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
const faults: string[] = [];
let resets = 0;
let answers = 0;
let longestMs = 0;
let stopped = false;

function client(port: number): Socket {
  const socket = connect({ host: '127.0.0.1', port });
  let held = Buffer.alloc(0);
  let askedAt = 0;
  const ask = () => {
    if (stopped || socket.destroyed) return;
    askedAt = performance.now();
    socket.write(request);
  };
  socket.once('connect', ask);
  socket.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    const end = held.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = held.toString('latin1', 0, end);
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1]);
    if (held.length < end + 4 + length) return;
    if (!/^HTTP\/1\.1 200 /.test(head) || length !== bytes) faults.push(head.split('\r\n')[0] ?? '');
    held = held.subarray(end + 4 + length);
    answers += 1;
    longestMs = Math.max(longestMs, performance.now() - askedAt);
    askedAt = 0;
    setTimeout(ask, pauseMs);
  });
  socket.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ECONNRESET') resets += 1;
    else faults.push(error.message);
  });
  socket.once('close', () => {
    if (!stopped) faults.push(askedAt > 0 ? 'closed before its answer' : 'closed between two answers');
  });
  return socket;
}

const sockets = Array.from({ length: clients }, (_, index) => client(ports[index % ports.length]!));
process.stdout.write(`${JSON.stringify({ begun: clients })}\n`);
await lines.next();
stopped = true;
for (const socket of sockets) socket.destroy();
process.stdout.write(`${JSON.stringify({ answers, resets, faults, longestMs: Math.round(longestMs) })}\n`);
process.exit(0);
