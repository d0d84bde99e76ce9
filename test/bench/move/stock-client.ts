import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

/**
 * A client of a service that stock tools move, as a program for a client host: holds connections open at the old address,
 * asks at the new one every 10 ms until it answers right, and then asks on each of those it held.
 */
interface Options {
  from: string;
  to: string;
  port: number;
  ask: string;
  answer: string;
  connections: number;
}

const askEveryMs = 10;
const attemptMs = 1_000;
const keptLimitMs = 2_000;

/** Waits until a connection says what is right; null when it does not within the limit. */
function rightAnswer(socket: Socket, answer: string, limitMs: number): Promise<number | null> {
  return new Promise((resolve) => {
    let said = '';
    const finish = (at: number | null) => {
      clearTimeout(timer);
      socket.off('data', take);
      resolve(at);
    };
    const take = (chunk: Buffer) => {
      said += chunk.toString('latin1');
      if (said.startsWith(answer)) finish(Date.now());
    };
    const timer = setTimeout(() => finish(null), limitMs);
    socket.on('data', take);
    socket.once('error', () => finish(null));
    socket.once('close', () => finish(null));
  });
}

async function attempt(
  { port, ask, answer }: Options,
  host: string,
): Promise<{ socket: Socket; at: number | null }> {
  const socket = connect({ host, port, noDelay: true });
  socket.on('error', () => undefined);
  if (ask !== '') socket.write(ask);
  return { socket, at: await rightAnswer(socket, answer, attemptMs) };
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const first = await lines.next();
const options = JSON.parse(first.done ? '{}' : first.value) as Options;
const held: Socket[] = [];
while (held.length < options.connections) {
  const { socket, at } = await attempt(options, options.from);
  if (at === null) socket.destroy();
  else held.push(socket);
}
process.stdout.write(`${JSON.stringify({ ready: true })}\n`);

const answeredAt = await new Promise<number>((resolve) => {
  const timer = setInterval(() => {
    void attempt(options, options.to).then(({ socket, at }) => {
      socket.destroy();
      if (at === null) return;
      clearInterval(timer);
      resolve(at);
    });
  }, askEveryMs);
});
const kept = await Promise.all(
  held.map((socket) => {
    // A viewer's next word is its version; a browser asks again.
    socket.write(options.ask === '' ? 'RFB 003.008\n' : options.ask);
    return new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), keptLimitMs);
      const finish = (answered: boolean) => {
        clearTimeout(timer);
        resolve(answered);
      };
      socket.once('data', () => finish(true));
      socket.once('close', () => finish(false));
    });
  }),
);
process.stdout.write(`${JSON.stringify({ answeredAt, kept: kept.filter(Boolean).length })}\n`);
