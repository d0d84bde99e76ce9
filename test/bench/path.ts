import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startHaproxyChain } from './path/haproxy-chain.ts';
import { benchService, issueBenchIdentities } from './path/identities.ts';
import type { Entrance } from './path/load.ts';
import { keepAliveLatency, newConnectionLatency, throughput } from './path/load.ts';
import { startOrigin } from './path/origin.ts';
import { startOverlayChain } from './path/overlay-chain.ts';
import { BenchProcesses, cpuSeconds } from './path/processes.ts';

/** A way to the origin, and the processes that carry it. */
interface Way {
  name: (typeof wayNames)[number];
  entrance: Entrance;
  pids: readonly number[];
}

const wayNames = ['direct', 'haproxyHttp', 'haproxyTcp', 'overlayFixedPort', 'overlayHttpProxy'] as const;

type Figures = Record<(typeof figureNames)[number], number>;
const figureNames = [
  'keepAliveP50Ms',
  'keepAliveP99Ms',
  'newConnectionP50Ms',
  'newConnectionP99Ms',
  'oneStreamMegabytesPerSecond',
  'eightStreamsMegabytesPerSecond',
  'cpuSecondsPerGigabyte',
] as const;

const rounds = 5;
const warmUp = { keepAlive: 6000, newConnections: 2000 };
const requests = { keepAlive: 3000, newConnections: 1000 };
const bulk = { oneStreamMegabytes: 512, eachOfEightMegabytes: 96 };

/**
 * Measures the path of MOVE §3.2 on loopback: forwarder, access point, servlet and site, each a process of its own,
 * against four HAProxy processes with the same three legs of mutual TLS 1.3, and against the origin alone. All ways are
 * measured in turn, several times; figures are medians over the rounds.
 *
 * What is compared does the same work: the fixed port, which hands bytes on, for kept connections and throughput; for
 * a new client connection the HTTP proxy beside HAProxy in its HTTP mode, both of which use kept connections onwards; and
 * the fixed port beside HAProxy's TCP mode, where a connection is carried through anew. `passed` holds the bars: latencies
 * no higher than HAProxy's, throughput at least half of its.
 */
export async function run(): Promise<{ passed: boolean } & Record<string, unknown>> {
  const directory = mkdtempSync(join(tmpdir(), 'move-bench-'));
  chmodSync(directory, 0o755);
  const processes = new BenchProcesses();
  try {
    const ways = await startWays(directory, processes);
    for (const way of ways) {
      await keepAliveLatency(way.entrance, warmUp.keepAlive);
      await newConnectionLatency(way.entrance, warmUp.newConnections);
    }
    const measured = new Map<Way, Figures[]>(ways.map((way) => [way, []]));
    for (let round = 0; round < rounds; round += 1) {
      for (const way of ways) measured.get(way)!.push(await measure(way));
      process.stderr.write(`path: round ${round + 1} of ${rounds}\n`);
    }
    const medians = Object.fromEntries(
      [...measured].map(([way, figures]) => [way.name, mediansOf(figures)]),
    ) as Record<Way['name'], Figures>;
    return judged(medians);
  } finally {
    await processes.end();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function startWays(directory: string, processes: BenchProcesses): Promise<Way[]> {
  const origin = await startOrigin(directory, processes, bulk);
  const identities = await issueBenchIdentities(directory);
  const http = await startHaproxyChain(directory, processes, identities, origin.port, 'http');
  const tcp = await startHaproxyChain(directory, processes, identities, origin.port, 'tcp');
  const overlay = await startOverlayChain(directory, processes, identities, origin.port);
  const at = (port: number): Entrance => ({ url: `http://127.0.0.1:${port}` });
  const behindProxy = {
    url: `http://${benchService}:${origin.port}`,
    proxy: `127.0.0.1:${overlay.httpProxyPort}`,
  };
  return [
    { name: 'direct', entrance: at(origin.port), pids: [] },
    { name: 'haproxyHttp', entrance: at(http.port), pids: http.pids },
    { name: 'haproxyTcp', entrance: at(tcp.port), pids: tcp.pids },
    { name: 'overlayFixedPort', entrance: at(overlay.port), pids: overlay.pids },
    { name: 'overlayHttpProxy', entrance: behindProxy, pids: overlay.pids },
  ];
}

async function measure(way: Way): Promise<Figures> {
  const kept = await keepAliveLatency(way.entrance, requests.keepAlive);
  const fresh = await newConnectionLatency(way.entrance, requests.newConnections);
  const before = cpuSeconds(way.pids);
  const one = await throughput(way.entrance, 'one', 1);
  const eight = await throughput(way.entrance, 'eighth', 8);
  const gigabytes = (one.bytes + eight.bytes) / 1e9;
  return {
    keepAliveP50Ms: kept.p50Ms,
    keepAliveP99Ms: kept.p99Ms,
    newConnectionP50Ms: fresh.p50Ms,
    newConnectionP99Ms: fresh.p99Ms,
    oneStreamMegabytesPerSecond: one.megabytesPerSecond,
    eightStreamsMegabytesPerSecond: eight.megabytesPerSecond,
    cpuSecondsPerGigabyte: (cpuSeconds(way.pids) - before) / gigabytes,
  };
}

function mediansOf(figures: readonly Figures[]): Figures {
  const median = (name: keyof Figures) => {
    const sorted = figures.map((each) => each[name]).sort((left, right) => left - right);
    return Number(sorted[Math.floor(sorted.length / 2)]!.toFixed(3));
  };
  return Object.fromEntries(figureNames.map((name) => [name, median(name)])) as Figures;
}

function judged(ways: Record<Way['name'], Figures>): { passed: boolean } & Record<string, unknown> {
  const { haproxyHttp, haproxyTcp, overlayFixedPort, overlayHttpProxy } = ways;
  const to = (ours: number, theirs: number) => Number((ours / theirs).toFixed(3));
  const ratios = {
    keepAliveP50: to(overlayFixedPort.keepAliveP50Ms, haproxyHttp.keepAliveP50Ms),
    keepAliveP99: to(overlayFixedPort.keepAliveP99Ms, haproxyHttp.keepAliveP99Ms),
    newConnectionKeptOnwards: to(overlayHttpProxy.newConnectionP50Ms, haproxyHttp.newConnectionP50Ms),
    newConnectionCarriedThrough: to(overlayFixedPort.newConnectionP50Ms, haproxyTcp.newConnectionP50Ms),
    oneStream: to(overlayFixedPort.oneStreamMegabytesPerSecond, haproxyHttp.oneStreamMegabytesPerSecond),
    eightStreams: to(
      overlayFixedPort.eightStreamsMegabytesPerSecond,
      haproxyHttp.eightStreamsMegabytesPerSecond,
    ),
    cpuPerGigabyte: to(overlayFixedPort.cpuSecondsPerGigabyte, haproxyHttp.cpuSecondsPerGigabyte),
  };
  const bars = {
    keepAliveP50: ratios.keepAliveP50 <= 1,
    keepAliveP99: ratios.keepAliveP99 <= 1,
    newConnectionKeptOnwards: ratios.newConnectionKeptOnwards <= 1,
    newConnectionCarriedThrough: ratios.newConnectionCarriedThrough <= 1,
    oneStream: ratios.oneStream >= 0.5,
    eightStreams: ratios.eightStreams >= 0.5,
  };
  return { passed: Object.values(bars).every(Boolean), rounds, ways, overlayToHaproxy: ratios, bars };
}
