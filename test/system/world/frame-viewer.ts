import { connect } from 'node:net';
import { createInterface } from 'node:readline';

/**
 * A program for a client host: a VNC viewer (RFC 6143) that asks for a corner of the screen every 10 ms over one
 * connection, whether or not it was answered, clicks and types. Options as one line of JSON on standard input; then
 * `{"since":…}` is answered by the longest silence since that time, and `{"type":"…"}` presses keys. It ends when
 * standard input closes. Times are milliseconds of the host's clock.
 */
const askEveryMs = 10;
const corner = 16;
const pixelBytes = 4;
const unansweredMost = 500;
const answersKept = 200_000;

const say = (line: unknown) => process.stdout.write(`${JSON.stringify(line)}\n`);

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const first = await lines.next();
const { port } = JSON.parse(first.done ? '{}' : first.value) as { port: number };
const socket = connect({ host: '127.0.0.1', port, noDelay: true });
const fail = (why: string) => {
  say({ error: why });
  process.exit(1);
};
socket.once('error', (error) => fail(error.message));
socket.once('close', () => fail('the connection was closed'));

const bytes = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
let held = Buffer.alloc(0);
async function take(count: number): Promise<Buffer> {
  while (held.length < count) {
    const { value, done } = await bytes.next();
    if (done) fail('the desktop hung up');
    held = Buffer.concat([held, value as Buffer]);
  }
  const taken = held.subarray(0, count);
  held = held.subarray(count);
  return taken;
}

await take(12);
socket.write('RFB 003.008\n');
await take((await take(1))[0]!);
socket.write(Buffer.of(1));
if ((await take(4)).readUInt32BE(0) !== 0) fail('the desktop wants a password');
socket.write(Buffer.of(1));
const screen = await take(24);
await take(screen.readUInt32BE(20));
// 32 bits a pixel, and nothing but raw rectangles.
const format = Buffer.alloc(20);
Buffer.from([0, 0, 0, 0, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0]).copy(format);
const encodings = Buffer.from([2, 0, 0, 1, 0, 0, 0, 0]);
socket.write(Buffer.concat([format, encodings]));

const ask = Buffer.from([3, 0, 0, 0, 0, 0, 0, corner, 0, corner]);
const answers: number[] = [];
let asked = 0;
let answered = 0;
const timer = setInterval(() => {
  if (asked - answered >= unansweredMost) return;
  asked += 1;
  socket.write(ask);
}, askEveryMs);

async function read(): Promise<void> {
  for (;;) {
    const kind = (await take(1))[0]!;
    if (kind === 3) {
      const length = (await take(7)).readUInt32BE(3);
      await take(length);
    } else if (kind === 0) {
      const count = (await take(3)).readUInt16BE(1);
      for (let rectangle = 0; rectangle < count; rectangle += 1) {
        const head = await take(12);
        if (head.readInt32BE(8) !== 0) fail('an encoding that was not asked for');
        await take(head.readUInt16BE(4) * head.readUInt16BE(6) * pixelBytes);
      }
      answered += 1;
      answers.push(Date.now());
      if (answers.length === 1) say({ ready: true });
      if (answers.length > answersKept) answers.splice(0, answersKept / 2);
    } else if (kind !== 2) fail(`a message of kind ${kind}`);
  }
}
void read();

function press(text: string): void {
  for (const character of text) {
    const key = character === '\n' ? 0xff0d : character.charCodeAt(0);
    for (const down of [1, 0]) {
      const event = Buffer.alloc(8);
      event[0] = 4;
      event[1] = down;
      event.writeUInt32BE(key, 4);
      socket.write(event);
    }
  }
}

function click(x: number, y: number): void {
  for (const buttons of [0, 1, 0]) {
    const event = Buffer.from([5, buttons, 0, 0, 0, 0]);
    event.writeUInt16BE(x, 2);
    event.writeUInt16BE(y, 4);
    socket.write(event);
  }
}

/** The longest time without an answer; the one that lasts now counts, too. */
function silence(since: number): { from: number; to: number; answers: number } {
  let longest = { from: since, to: since };
  let last = since;
  const counted = answers.filter((at) => at >= since);
  for (const at of [...counted, Date.now()]) {
    if (at - last > longest.to - longest.from) longest = { from: last, to: at };
    last = at;
  }
  return { ...longest, answers: counted.length };
}

for await (const line of { [Symbol.asyncIterator]: () => lines }) {
  const order = JSON.parse(line) as { since?: number; type?: string; click?: [number, number] };
  if (order.click) click(...order.click);
  if (order.type !== undefined) press(order.type);
  if (order.since !== undefined) say(silence(order.since));
}
clearInterval(timer);
process.exit(0);
