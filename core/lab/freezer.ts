import { existsSync } from 'node:fs';
import { readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MoveError } from '../runtime/errors.ts';
import type { FreezerTree, ResourceTree } from './host-root.ts';

/** Every lab's directory in the freezer's tree is called this and its identifier. */
export const freezerPrefix = 'move-lab-';

/**
 * Where this machine has its freezer: version 1's own hierarchy, else version 2's tree.
 * @throws MoveError `FREEZER_MISSING`
 */
export function freezerRoot(): FreezerTree {
  const first = '/sys/fs/cgroup/freezer';
  if (existsSync(path.join(first, 'cgroup.procs'))) return { version: 1, directory: first };
  const second = '/sys/fs/cgroup';
  if (existsSync(path.join(second, 'cgroup.controllers'))) return { version: 2, directory: second };
  throw new MoveError('FREEZER_MISSING', 'This machine has no freezer cgroup mounted below /sys/fs/cgroup.');
}

/** The freezer directory of the lab `labId`. */
export function labFreezer(labId: string): FreezerTree {
  const root = freezerRoot();
  return { version: root.version, directory: path.join(root.directory, `${freezerPrefix}${labId}`) };
}

/**
 * What the keeper is told of a lab's groups. The lab stays out of the processors' one: all of its hosts together would
 * have the weight of a single program there.
 */
export function keeperGroups(freezer: FreezerTree): string[] {
  const trees = resourceTrees(freezer);
  const entered = [freezer, ...trees.filter(({ name }) => name !== 'cpu')];
  const swept = trees.filter(({ name }) => name === 'cpu');
  return [
    ...entered.flatMap(({ directory }) => ['--cgroup', directory]),
    ...swept.flatMap(({ directory }) => ['--sweep-cgroup', directory]),
  ];
}

/**
 * The control groups beside the freezer's that bound and count what pods use, with the same place in each: cgroup v1's
 * other hierarchies, as far as this machine has them; none in v2, where the freezer's tree has them all.
 */
export function resourceTrees(freezer: FreezerTree): ResourceTree[] {
  if (freezer.version === 2) return [];
  const hierarchies = path.dirname(path.dirname(freezer.directory));
  return ['memory', 'pids', 'cpu', 'cpuacct']
    .filter((name) => existsSync(path.join(hierarchies, name, 'cgroup.procs')))
    .map((name) => ({ name, directory: path.join(hierarchies, name, path.basename(freezer.directory)) }));
}

/**
 * Thaws and kills everything in a freezer directory and below until nothing is left, and removes what is
 * below it. A frozen process does not die of SIGKILL before it is thawed.
 * @throws MoveError `PROCESSES_REMAIN` when something lives on after `limitMs`.
 */
export async function emptyFreezer(directory: string, limitMs: number): Promise<void> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const left = await takeDown(directory, true);
    if (left === 0) return;
    if (performance.now() > deadline) {
      throw new MoveError('PROCESSES_REMAIN', `${left} processes in ${directory} do not end.`, {
        directory,
        left,
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function takeDown(directory: string, top: boolean): Promise<number> {
  let names: string[];
  try {
    const state = path.join(directory, 'freezer.state');
    if (existsSync(state)) await writeFile(state, 'THAWED');
    else await writeFile(path.join(directory, 'cgroup.freeze'), '0').catch(ignoreMissing);
    names = (await readdir(directory, { withFileTypes: true }))
      .filter((e) => e.isDirectory())
      .map((e) => e.name);
  } catch (error) {
    ignoreMissing(error);
    return 0;
  }
  let left = 0;
  const members = await readFile(path.join(directory, 'cgroup.procs'), 'utf8').catch(() => '');
  for (const pid of members
    .split('\n')
    .map(Number)
    .filter((value) => value > 1)) {
    left++;
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
  for (const name of names) left += await takeDown(path.join(directory, name), false);
  if (!top && left === 0) await rmdir(directory).catch(() => undefined);
  return left;
}

function ignoreMissing(error: unknown): void {
  const code = (error as NodeJS.ErrnoException).code;
  if (code !== 'ENOENT' && code !== 'ENODEV' && code !== 'EBUSY') throw error;
}
