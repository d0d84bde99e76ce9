import { request } from 'node:http';
import { createInterface } from 'node:readline';

/**
 * A program for a client host: asks for a page through an HTTP proxy at a steady rate, each request on a connection
 * of its own, and asks again when an attempt fails, as a browser's user would. Options as one line of JSON on standard
 * input; ends when standard input closes, and then prints one line for every request.
 */
interface Options {
  proxy: string;
  url: string;
  periodMs: number;
  attemptMs: number;
  limitMs: number;
  bytes: number;
}

interface Outcome {
  at: number;
  ms: number;
  attempts: number;
  ok: boolean;
  why: string | null;
}

const pauseMs = 100;

function attempt({ proxy, url, attemptMs, bytes }: Options): Promise<string | null> {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(proxy);
    const asking = request(
      { host: hostname, port, path: url, headers: { host: new URL(url).hostname }, agent: false },
      (answer) => {
        let received = 0;
        answer.on('data', (chunk: Buffer) => {
          received += chunk.length;
        });
        answer.on('end', () =>
          finish(answer.statusCode === 200 && received === bytes ? null : `status ${answer.statusCode}`),
        );
        answer.on('error', (error) => finish(error.message));
      },
    );
    const timer = setTimeout(() => asking.destroy(new Error('no answer in time')), attemptMs);
    const finish = (why: string | null) => {
      clearTimeout(timer);
      resolve(why);
    };
    asking.on('error', (error) => finish(error.message));
    asking.end();
  });
}

async function ask(options: Options): Promise<Outcome> {
  const at = Date.now();
  const begun = performance.now();
  for (let attempts = 1; ; attempts += 1) {
    const why = await attempt(options);
    const ms = performance.now() - begun;
    if (why === null || ms + pauseMs > options.limitMs) return { at, ms, attempts, ok: why === null, why };
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

const lines = createInterface({ input: process.stdin });
const asked: Promise<Outcome>[] = [];
let timer: NodeJS.Timeout | undefined;
lines.once('line', (line) => {
  const options = JSON.parse(line) as Options;
  const begun = performance.now();
  const begin = () => {
    // As many as are due by now: a timer that comes late leaves no request out.
    while (asked.length * options.periodMs <= performance.now() - begun) asked.push(ask(options));
  };
  begin();
  timer = setInterval(begin, options.periodMs);
});
lines.once('close', () => {
  clearInterval(timer);
  void Promise.all(asked).then((outcomes) => {
    process.stdout.write(`${JSON.stringify(outcomes)}\n`, () => process.exit(0));
  });
});
