import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startHaproxyChain } from './path/haproxy-chain.ts';
import { issueBenchIdentities } from './path/identities.ts';
import { keepAliveLatency, newConnectionLatency, throughput } from './path/load.ts';
import { startOrigin } from './path/origin.ts';
import { startOverlayChain } from './path/overlay-chain.ts';
import { BenchProcesses, cpuSeconds } from './path/processes.ts';

/** A way to the origin, and the processes that carry it. */
interface Way {
  name: 'direct' | 'haproxy' | 'overlay';
  port: number;
  pids: readonly number[];
}

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
const requests = { keepAlive: 3000, newConnections: 1500 };
const bulk = { oneStreamMegabytes: 512, eachOfEightMegabytes: 96 };

/**
 * Measures the path of MOVE §3.2 on loopback: forwarder, access point, servlet and site, each a process of its own,
 * against four HAProxy processes with the same three legs of mutual TLS 1.3, and against the origin alone. The
 * three ways are measured in turn, several times; figures are medians over the rounds. `passed` holds the bars: latencies
 * no higher than HAProxy's, throughput at least half of its.
 */
export async function run(): Promise<{ passed: boolean } & Record<string, unknown>> {
  const directory = mkdtempSync(join(tmpdir(), 'move-bench-'));
  chmodSync(directory, 0o755);
  const processes = new BenchProcesses();
  try {
    const origin = await startOrigin(directory, processes, bulk);
    const identities = await issueBenchIdentities(directory);
    const ways: Way[] = [
      { name: 'direct', port: origin.port, pids: [] },
      { name: 'haproxy', ...(await startHaproxyChain(directory, processes, identities, origin.port)) },
      { name: 'overlay', ...(await startOverlayChain(directory, processes, identities, origin.port)) },
    ];
    for (const way of ways) await keepAliveLatency(way.port, requests.keepAlive);
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

async function measure(way: Way): Promise<Figures> {
  const kept = await keepAliveLatency(way.port, requests.keepAlive);
  const fresh = await newConnectionLatency(way.port, requests.newConnections);
  const before = cpuSeconds(way.pids);
  const one = await throughput(way.port, 'one', 1);
  const eight = await throughput(way.port, 'eighth', 8);
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
  const ratio = Object.fromEntries(
    figureNames.map((name) => [name, Number((ways.overlay[name] / ways.haproxy[name]).toFixed(3))]),
  ) as Figures;
  const bars = {
    keepAliveP50: ratio.keepAliveP50Ms <= 1,
    keepAliveP99: ratio.keepAliveP99Ms <= 1,
    newConnection: ratio.newConnectionP50Ms <= 1,
    oneStream: ratio.oneStreamMegabytesPerSecond >= 0.5,
    eightStreams: ratio.eightStreamsMegabytesPerSecond >= 0.5,
  };
  return { passed: Object.values(bars).every(Boolean), rounds, ways, overlayToHaproxy: ratio, bars };
}
