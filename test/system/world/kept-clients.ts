import { createHash } from 'node:crypto';
import { Agent, request } from 'node:http';
import { createInterface } from 'node:readline';

/**
 * A program for a client host: many HTTP clients, each with a connection of its own that it keeps, on which it asks for
 * the same page at its own pace. It opens another one only where the service announced that it closes this one. Options
 * as one line of JSON on standard input; each further line is answered by what was seen so far. Ends when standard
 * input closes.
 */
interface Options {
  port: number;
  path: string;
  host: string;
  clients: number;
  periodMs: number;
  limitMs: number;
  sha256: string;
}

const seen = { right: 0, wrong: 0, failed: 0, connections: 0, longestMs: 0, faults: [] as string[] };
const faultsKept = 10;
let stopped = false;

function ask(options: Options, agent: Agent): Promise<void> {
  return new Promise((resolve) => {
    const begun = performance.now();
    let over = false;
    const finish = (outcome: 'right' | 'wrong' | 'failed', why?: string) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      seen[outcome] += 1;
      seen.longestMs = Math.max(seen.longestMs, performance.now() - begun);
      if (why !== undefined && seen.faults.length < faultsKept) seen.faults.push(why);
      resolve();
    };
    const asking = request(
      { host: '127.0.0.1', port: options.port, path: options.path, headers: { host: options.host }, agent },
      (answer) => {
        const hash = createHash('sha256');
        answer.on('data', (chunk: Buffer) => hash.update(chunk));
        answer.once('end', () => {
          const right = answer.statusCode === 200 && hash.digest('hex') === options.sha256;
          finish(right ? 'right' : 'wrong', right ? undefined : `status ${answer.statusCode}`);
        });
        answer.once('error', (error) => finish('failed', error.message));
      },
    );
    asking.on('socket', (socket) => {
      if (socket.connecting) seen.connections += 1;
    });
    const timer = setTimeout(() => asking.destroy(new Error('no answer in time')), options.limitMs);
    asking.once('error', (error) => finish('failed', error.message));
    asking.end();
  });
}

async function client(options: Options, number: number): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  let due = performance.now() + (options.periodMs * number) / options.clients;
  while (!stopped) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
    await ask(options, agent);
    due = Math.max(due + options.periodMs, performance.now());
  }
  agent.destroy();
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const first = await lines.next();
const options = JSON.parse(first.done ? '{}' : first.value) as Options;
const clients = Array.from({ length: options.clients }, (_, number) => client(options, number));
for await (const line of { [Symbol.asyncIterator]: () => lines }) {
  if (line === 'stop') {
    stopped = true;
    await Promise.all(clients);
  }
  process.stdout.write(`${JSON.stringify(seen)}\n`);
}
process.exit(0);
