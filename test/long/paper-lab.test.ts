import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startLab, stopLab } from '../../core/lab/lab.ts';
import type { LabManifest } from '../../core/lab/manifest.ts';
import { labImpossible, temporaryHome } from '../system/lab-fixture.ts';

const why = labImpossible();
const spec = path.resolve(import.meta.dirname, '../../assets/labs/paper.yaml');

describe.skipIf(why !== null)(`the lab of the paper${why ? ` (${why})` : ''}`, () => {
  let place: ReturnType<typeof temporaryHome>;
  let manifest: LabManifest;

  beforeAll(async () => {
    place = temporaryHome();
    manifest = await startLab({ home: place.home, spec });
  });

  afterAll(async () => {
    await stopLab({ home: place.home });
    place.remove();
  });

  const on = (host: string, line: string) =>
    spawnSync('ssh', ['-F', manifest.sshConfigPath, host, line], { encoding: 'utf8', timeout: 60_000 });

  it('has 18 sites, six stepping stones and the 76 overlay nodes of its measurements, all of them there', () => {
    const counts: Record<string, number> = {};
    for (const { role } of Object.values(manifest.hosts)) counts[role] = (counts[role] ?? 0) + 1;
    expect(counts).toMatchObject({ site: 18, stone: 6, overlay: 76 });
    for (const { name } of Object.values(manifest.hosts).filter(({ role }) => role === 'site'))
      expect(on(name, 'hostname').stdout).toBe(`${name}\n`);
  });

  it.each([
    ['b1', 1],
    ['c1', 10.6],
    ['f1', 80],
  ])('has %s %d ms from home', (site, roundTripMs) => {
    const address = manifest.hosts[site]?.addresses.primary;
    const { stdout } = on('a1', `ping -q -c 5 -i 0.2 ${address}`);
    const least = Number(/= ([\d.]+)\//.exec(stdout)?.[1]);
    expect(least).toBeGreaterThanOrEqual(roundTripMs * 0.95);
    expect(least).toBeLessThan(roundTripMs + 5);
  });
});
