import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runChecked } from '../../../core/runtime/process.ts';

/** Milliseconds that requests took, one after the other. */
interface Latency {
  p50Ms: number;
  p99Ms: number;
}

/** Where a way begins, by its URL without a path, and the HTTP proxy in front of it if it has one. */
export interface Entrance {
  url: string;
  proxy?: string;
}

/** `count` requests for a page of 10 KB over one kept connection, by ApacheBench. */
export function keepAliveLatency(entrance: Entrance, count: number): Promise<Latency> {
  return apacheBench(entrance, ['-k', '-n', String(count)], count);
}

/** `count` requests for the same page, each over a connection of its own. */
export function newConnectionLatency(entrance: Entrance, count: number): Promise<Latency> {
  return apacheBench(entrance, ['-n', String(count)], count);
}

async function apacheBench({ url, proxy }: Entrance, options: string[], count: number): Promise<Latency> {
  const directory = mkdtempSync(join(tmpdir(), 'move-bench-load-'));
  try {
    const table = join(directory, 'percentiles.csv');
    const through = proxy === undefined ? [] : ['-X', proxy];
    const words = ['-q', '-c', '1', '-e', table, ...options, ...through, `${url}/page`];
    const { stdout } = await runChecked('ab', words, { timeoutMs: 120_000 });
    const complete = Number(/Complete requests:\s+(\d+)/.exec(stdout)?.[1]);
    const failed = Number(/Failed requests:\s+(\d+)/.exec(stdout)?.[1]);
    const refused = /Non-2xx responses/.test(stdout);
    if (complete !== count || failed > 0 || refused)
      throw new Error(`of ${count} requests ${complete} were answered and ${failed} failed`);
    const percentile = new Map(
      readFileSync(table, 'utf8')
        .split('\n')
        .map((line) => line.split(',').map(Number) as [number, number]),
    );
    return { p50Ms: percentile.get(50)!, p99Ms: percentile.get(99)! };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** `streams` downloads of a file side by side, by curl. */
export async function throughput(
  { url, proxy }: Entrance,
  file: string,
  streams: number,
): Promise<{ bytes: number; megabytesPerSecond: number }> {
  const begun = performance.now();
  const through = proxy === undefined ? [] : ['--proxy', `http://${proxy}`];
  const sizes = await Promise.all(
    Array.from({ length: streams }, async () => {
      const what = ['-o', '/dev/null', '-w', '%{size_download}', `${url}/${file}`];
      const words = ['-sS', '--fail', ...through, ...what];
      return Number((await runChecked('curl', words, { timeoutMs: 120_000 })).stdout);
    }),
  );
  const seconds = (performance.now() - begun) / 1000;
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  return { bytes, megabytesPerSecond: bytes / 1e6 / seconds };
}
