import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MoveError } from '../../core/runtime/errors.ts';
import { World, worldImpossible } from '../system/world.ts';
import { desktop, type Measured, moveApache, moveDesktop, startDesktop } from './move/our-moves.ts';
import { apache, destinations, home, narrowApache, narrowHome, paperNetwork } from './move/paper-network.ts';

type Row = (world: World, runs: number, signal: AbortSignal) => Promise<Record<string, unknown>>;
const rows: Record<string, Row> = {
  'apache-co-located': (world, runs) => apacheRow(world, apache, home, destinations['co-located'].site, runs),
  'apache-remote': (world, runs) => apacheRow(world, apache, home, destinations.remote.site, runs),
  'apache-narrow': (world, runs) => apacheRow(world, narrowApache, narrowHome, destinations['co-located'].site, runs),
  'vnc-site-1': (world, runs) => vncRow(world, destinations['co-located'].site, runs),
  'vnc-site-2': (world, runs) => vncRow(world, destinations.remote.site, runs),
  'vnc-site-3': (world, runs) => vncRow(world, destinations.far.site, runs),
};

export async function run(words: string[]): Promise<{ passed: boolean } & Record<string, unknown>> {
  const only = words[words.indexOf('--only') + 1];
  const names = words.includes('--only') ? (only ?? '').split(',') : Object.keys(rows);
  const runs = words.includes('--runs') ? Number(words[words.indexOf('--runs') + 1]) : 5;
  const why = worldImpossible();
  if (why) throw new MoveError('BENCH_IMPOSSIBLE', `The lab of this bench cannot be brought up: ${why}.`);
  const stopped = new AbortController();
  const directory = mkdtempSync(path.join(tmpdir(), 'move-bench-'));
  const spec = path.join(directory, 'lab-spec.yaml');
  writeFileSync(spec, JSON.stringify(paperNetwork()));
  const world = await World.up({ spec }).finally(() => rmSync(directory, { recursive: true, force: true }));
  try {
    const results: Record<string, unknown> = {};
    for (const name of names) results[name] = await rows[name]!(world, runs, stopped.signal);
    return { passed: true, rows: results };
  } finally {
    await world.down();
  }
}

async function apacheRow(world: World, service: string, from: string, to: string, runs: number) {
  const all: Measured[] = [];
  for (let run = 0; run < runs; run += 1) {
    all.push(await moveApache(world, service, to));
    await moveApache(world, service, from);
    process.stderr.write(`${service} ${to}: ${JSON.stringify(all.at(-1))}\n`);
  }
  return { ours: all };
}

async function vncRow(world: World, to: string, runs: number) {
  const viewer = await startDesktop(world);
  const all: Measured[] = [];
  try {
    for (let run = 0; run < runs; run += 1) {
      all.push(await moveDesktop(world, viewer, to));
      await moveDesktop(world, viewer, home);
      process.stderr.write(`vnc ${to}: ${JSON.stringify(all.at(-1))}\n`);
    }
  } finally {
    viewer.stop();
    await world.client.call('service.remove', { service: desktop }, { deadlineMs: 30_000 });
  }
  return { ours: all };
}
