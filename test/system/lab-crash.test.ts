import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { labExec } from '../../core/lab/exec.ts';
import { labStatus, startLab, stopLab } from '../../core/lab/lab.ts';
import type { LabManifest } from '../../core/lab/manifest.ts';
import { labPaths } from '../../core/lab/paths.ts';
import {
  type Footprint,
  footprint,
  labImpossible,
  leftAfter,
  processesWith,
  temporaryHome,
  within,
} from './lab-fixture.ts';

const why = labImpossible();

describe.skipIf(why !== null)(`a lab that is killed leaves nothing behind${why ? ` (${why})` : ''}`, () => {
  let place: ReturnType<typeof temporaryHome>;

  beforeEach(() => {
    place = temporaryHome();
  });

  afterEach(async () => {
    await stopLab({ home: place.home });
    place.remove();
  });

  const named = (manifest: LabManifest) => processesWith(`--id ${manifest.labId}`);
  /** Null for a process that has just ended. */
  const isFirst = (pid: number): boolean | null => {
    try {
      return /^NSpid:.*\t1$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
    } catch {
      return null;
    }
  };
  const keepers = (manifest: LabManifest) => named(manifest).filter(({ pid }) => isFirst(pid) === false);
  const inside = () =>
    processesWith(`inside ${labPaths(place.home).request}`).filter(
      ({ command }) => !command.includes('labkeeper'),
    );

  async function expectNothingLeft(taken: Footprint): Promise<void> {
    expect(await leftAfter(place.home, taken)).toEqual([]);
  }

  async function freezeSomethingOn(host: string): Promise<void> {
    const script = [
      'cd /sys/fs/cgroup/freezer && mkdir -p pod',
      'sleep 600 </dev/null >/dev/null 2>&1 &',
      'echo $! > pod/cgroup.procs && echo FROZEN > pod/freezer.state',
      'until grep -q FROZEN pod/freezer.state; do sleep 0.01; done',
    ].join('\n');
    expect(await labExec(host, ['sh', '-c', script], { home: place.home, stdio: 'ignore' })).toBe(0);
  }

  const victims: [string, (manifest: LabManifest) => number[]][] = [
    ['the lab process itself', () => inside().map(({ pid }) => pid)],
    [
      'the first process of its namespaces',
      (manifest) => named(manifest).flatMap(({ pid }) => (isFirst(pid) ? [pid] : [])),
    ],
    ['the first keeper', (manifest) => [manifest.keeperPid]],
    [
      'the first keeper and everything inside',
      (manifest) => [manifest.keeperPid, ...inside().map(({ pid }) => pid)],
    ],
    [
      'the second keeper, and then the first',
      (manifest) => {
        const second = keepers(manifest).find(({ pid }) => pid !== manifest.keeperPid);
        return [...(second ? [second.pid] : []), manifest.keeperPid];
      },
    ],
  ];

  it.each(victims)('when %s gets kill -9, with a frozen process', async (_name, choose) => {
    const manifest = await startLab({ home: place.home });
    await freezeSomethingOn('b1');
    const taken = footprint(place.home);
    expect(taken.namespaces.size).toBeGreaterThan(100);
    const chosen = choose(manifest);
    expect(chosen.length).toBeGreaterThan(0);
    for (const [index, pid] of chosen.entries()) {
      process.kill(pid, 'SIGKILL');
      const replaced = (gone: number) => {
        const pids = keepers(manifest).map((keeper) => keeper.pid);
        return pids.length === 2 && !pids.includes(gone);
      };
      // a second keeper that died is replaced before the first is killed
      if (_name.startsWith('the second') && index === 0) {
        expect(await within(2_000, () => replaced(pid))).toBe(true);
      }
    }
    await expectNothingLeft(taken);
    expect((await labStatus({ home: place.home })).running).toBe(false);
  });

  it.each([50, 200, 500, 1000])('when its process is killed %d ms into its start', async (delayMs) => {
    const starting = startLab({ home: place.home }).catch((error: unknown) => error);
    expect(await within(10_000, () => inside().length > 0)).toBe(true);
    await new Promise((resolve) => setTimeout(resolve, delayMs));
    const taken = footprint(place.home);
    for (const { pid } of inside()) process.kill(pid, 'SIGKILL');
    expect(await starting).toMatchObject({ code: 'LAB_START_FAILED' });
    await expectNothingLeft(taken);
  });

  it('when both keepers are killed at once with a frozen process, after the next start or stop', async () => {
    const manifest = await startLab({ home: place.home });
    await freezeSomethingOn('c1');
    const taken = footprint(place.home);
    for (const { pid } of keepers(manifest)) process.kill(pid, 'SIGKILL');
    await stopLab({ home: place.home });
    await expectNothingLeft(taken);
  });

  it('outlives the process that started it', async () => {
    const script = `import { startLab } from ${JSON.stringify(path.resolve('core/lab/lab.ts'))};
      await startLab({ home: ${JSON.stringify(place.home)} }); process.kill(process.pid, 'SIGKILL');`;
    const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], {
      stdio: 'ignore',
    });
    await new Promise((resolve) => child.once('close', resolve));
    expect(child.signalCode).toBe('SIGKILL');
    expect((await labStatus({ home: place.home })).running).toBe(true);
    expect(readdirSync(labPaths(place.home).directory)).toContain('manifest.json');
    expect(readFileSync(labPaths(place.home).log, 'utf8')).toContain('is up');
  });
});
