import { createHash } from 'node:crypto';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { HttpProbe, type HttpProbeOptions } from '../../../core/measure/http-probe.ts';
import type { ProbeSample } from '../../../core/measure/probe-sample.ts';

const page = Buffer.alloc(10_000, 'abcdefghij');
const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

async function serve(server: net.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket: net.Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  closers.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

/** Runs a probe until `count` samples are in, then stops it. */
async function collect(options: HttpProbeOptions, count: number): Promise<ProbeSample[]> {
  const samples: ProbeSample[] = [];
  let enough = () => {};
  const reached = new Promise<void>((resolve) => {
    enough = resolve;
  });
  const probe = new HttpProbe(options, (sample) => {
    samples.push(sample);
    if (samples.length >= count) enough();
  });
  probe.start();
  await reached;
  await probe.stop();
  expect(probe.outstanding).toBe(0);
  return samples;
}

const direct = (port: number): HttpProbeOptions => ({
  url: 'http://shop.example/page?x=1',
  via: { kind: 'direct', address: '127.0.0.1', port },
  limitMs: 400,
});
const outcomes = (samples: ProbeSample[]) => [...new Set(samples.map((sample) => sample.outcome))];

test('right answers are ok, over few kept connections, with the Host and path asked for', async () => {
  const asked = new Set<string>();
  let connections = 0;
  const server = http.createServer((request, response) => {
    asked.add(`${request.method} ${request.url} ${request.headers.host}`);
    response.end(page);
  });
  server.on('connection', () => {
    connections += 1;
  });
  const port = await serve(server);
  const sha = createHash('sha256').update(page).digest('hex');
  const samples = await collect({ ...direct(port), expectedSha256: sha }, 40);
  expect(outcomes(samples)).toEqual(['ok']);
  expect([...asked]).toEqual(['GET /page?x=1 shop.example']);
  expect(connections).toBeLessThan(20);
});

test('through a proxy the request has the absolute form', async () => {
  const asked = new Set<string>();
  const port = await serve(
    http.createServer((request, response) => {
      asked.add(`${request.url} ${request.headers.host}`);
      response.end('x');
    }),
  );
  const via = { kind: 'proxy', host: '127.0.0.1', port } as const;
  const samples = await collect({ ...direct(port), via }, 3);
  expect(outcomes(samples)).toEqual(['ok']);
  expect([...asked]).toEqual(['http://shop.example/page?x=1 shop.example']);
});

test('one changed byte, another length, another status and another page are wrong', async () => {
  let count = 0;
  const changed = Buffer.from(page);
  changed[9_999] = 0;
  const port = await serve(
    http.createServer((_request, response) => {
      count += 1;
      if (count === 1 || count > 4) response.end(page);
      else if (count === 2) response.end(changed);
      else if (count === 3) response.end('short');
      else response.writeHead(503).end(page);
    }),
  );
  const samples = await collect({ ...direct(port), periodMs: 30 }, 5);
  expect(samples.map((sample) => sample.outcome).slice(0, 5)).toEqual([
    'ok',
    'wrong',
    'wrong',
    'wrong',
    'ok',
  ]);
  expect(samples[3]?.detail).toMatch(/^status 503: abcdefghij/);
  const decoy = await collect({ ...direct(port), expectedSha256: '0'.repeat(64) }, 2);
  expect(outcomes(decoy)).toEqual(['wrong']);
});

test('a silent server does not hold back the next requests, and each ends at its own limit', async () => {
  const port = await serve(net.createServer());
  const samples = await collect(direct(port), 20);
  expect(outcomes(samples)).toEqual(['timeout']);
  for (const sample of samples) expect(sample.durationMs).toBeGreaterThanOrEqual(400);
  const starts = samples.map((sample) => sample.startedAt);
  expect(Math.max(...starts.slice(0, 20)) - Math.min(...starts)).toBeLessThan(400);
});

test('a broken connection is a reset, and no listener is a refusal', async () => {
  const resetting = net.createServer((socket) => {
    socket.on('data', () => {
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart');
      setTimeout(() => socket.destroy(), 5);
    });
  });
  const port = await serve(resetting);
  expect(outcomes(await collect(direct(port), 5))).toEqual(['reset']);
  closers.splice(0).map((close) => close());
  expect(outcomes(await collect(direct(port), 3))).toEqual(['refused']);
});

test('a server that closes idle connections or ends each answer with a close costs no failure', async () => {
  let count = 0;
  const server = http.createServer((_request, response) => {
    count += 1;
    response.setHeader('Connection', count % 3 === 0 ? 'close' : 'keep-alive');
    response.end(page);
  });
  const port = await serve(server);
  expect(outcomes(await collect(direct(port), 60))).toEqual(['ok']);
});

test('the pace changes while it runs, and what is right stays so', async () => {
  let count = 0;
  const port = await serve(
    http.createServer((_request, response) => {
      count += 1;
      response.end(count <= 2 ? page : 'a decoy');
    }),
  );
  const samples: ProbeSample[] = [];
  let enough = () => {};
  const reached = new Promise<void>((resolve) => {
    enough = resolve;
  });
  const probe = new HttpProbe({ ...direct(port), periodMs: 60_000 }, (sample) => {
    samples.push(sample);
    if (samples.length === 1) probe.changePeriod(10);
    if (samples.length >= 8) enough();
  });
  probe.start();
  await reached;
  await probe.stop();
  expect(samples.map((sample) => sample.outcome).slice(0, 2)).toEqual(['ok', 'ok']);
  expect(outcomes(samples.slice(2))).toEqual(['wrong']);
  expect(() => probe.changePeriod(0)).toThrow(expect.objectContaining({ code: 'PROBE_INVALID' }));
});

test('a slow pace does not stretch the limit', async () => {
  const port = await serve(net.createServer());
  const [sample] = await collect({ ...direct(port), periodMs: 5000, limitMs: 200 }, 1);
  expect(sample?.outcome).toBe('timeout');
  expect(sample?.durationMs).toBeLessThan(1500);
});

test('options that make no sense are refused', () => {
  const bad: Partial<HttpProbeOptions>[] = [
    { url: 'https://shop.example/' },
    { url: 'nonsense' },
    { url: 'http://user:secret@shop.example/' },
    { periodMs: 0 },
    { limitMs: 60_000, periodMs: 1 },
    { via: { kind: 'direct', address: 'shop.example', port: 80 } },
  ];
  for (const change of bad) {
    expect(() => new HttpProbe({ ...direct(80), ...change }, () => undefined)).toThrow(
      expect.objectContaining({ code: 'PROBE_INVALID' }),
    );
  }
});
