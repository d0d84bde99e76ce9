import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { cacheDirectory, labPaths, transientFiles } from '../../core/lab/paths.ts';

/** Why a lab cannot be made here, or null. */
export function labImpossible(): string | null {
  if (process.getuid?.() !== 0) return 'needs root';
  if (!existsSync(path.join(cacheDirectory(), 'native/labkeeper')))
    return 'the native helpers are not compiled';
  if (spawnSync('unshare', ['--mount', '--net', '--pid', '--fork', 'true']).status !== 0)
    return 'no namespaces here';
  return null;
}

/** A state directory of its own, and the function that removes it. */
export function temporaryHome(): { home: string; remove: () => void } {
  const home = mkdtempSync(path.join(os.tmpdir(), 'move-lab-'));
  return { home, remove: () => rmSync(home, { recursive: true, force: true }) };
}

/** Command lines of living processes that contain `text`, with their process ids. */
export function processesWith(text: string): { pid: number; command: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return command.includes(text) && Number(name) !== process.pid ? [{ pid: Number(name), command }] : [];
      } catch (error) {
        // a process may end between the listing and the reading
        if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
        throw error;
      }
    });
}

/** What one lab occupies of the machine, taken while it lives. */
export interface Footprint {
  labId: string;
  cgroup: string;
  namespaces: Set<string>;
}

/** Takes the footprint of the lab of a state directory, as far as it has been started. */
export function footprint(home: string): Footprint {
  const { labId, freezer } = JSON.parse(readFileSync(labPaths(home).request, 'utf8'));
  const own = namespacesOf(['self']);
  const members = processesIn(freezer.directory);
  const namespaces = new Set([...namespacesOf(members)].filter((name) => !own.has(name)));
  return { labId, cgroup: freezer.directory, namespaces };
}

/**
 * What the machine still shows of a lab; empty when nothing of it is left. Namespaces are known by inode
 * numbers, which the kernel gives out again: with `startedBefore` (seconds since the machine's start) younger
 * processes, as those of somebody else's next lab, do not count as their holders.
 */
export function leftOf(
  home: string,
  { labId, cgroup, namespaces }: Footprint,
  startedBefore = Number.POSITIVE_INFINITY,
): string[] {
  const living = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && startOf(name) <= startedBefore);
  const held = namespacesOf(living);
  return [
    ...[...namespaces].filter((name) => held.has(name)),
    ...(existsSync(cgroup) ? [cgroup] : []),
    ...transientFiles(labPaths(home)).filter((file) => existsSync(file)),
    ...[...processesWith(home), ...processesWith(labId)].map(({ pid, command }) => `${pid} ${command}`),
    ...readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes('/run/lab/') || line.includes(labId)),
    ...readdirSync('/sys/class/net').filter((name) => ['console', 'core', 'l0', 'r0', 'a1.p'].includes(name)),
    ...(existsSync('/run/lab') ? ['/run/lab'] : []),
  ];
}

/**
 * What is left of a lab that has just been ended, once it has had a moment to go; called right at its end,
 * so that whoever begins from here on is no part of it.
 */
export async function leftAfter(home: string, print: Footprint): Promise<string[]> {
  const endedAt = os.uptime();
  await within(5_000, () => leftOf(home, print, endedAt).length === 0);
  return leftOf(home, print, endedAt);
}

/** Seconds from the machine's start to a process's; infinite for one that is gone. 100 ticks make a second. */
function startOf(pid: string): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
    return Number(fields[19]) / 100;
  } catch (error) {
    // a process may end between the listing and the reading
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return Number.POSITIVE_INFINITY;
    throw error;
  }
}

function processesIn(cgroup: string): string[] {
  const below = readdirSync(cgroup, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const members = readFileSync(path.join(cgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean);
  return [...members, ...below.flatMap((entry) => processesIn(path.join(cgroup, entry.name)))];
}

function namespacesOf(processes: readonly string[]): Set<string> {
  const found = new Set<string>();
  for (const pid of processes) {
    for (const kind of ['net', 'pid', 'mnt', 'uts', 'ipc']) {
      try {
        found.add(readlinkSync(`/proc/${pid}/ns/${kind}`));
      } catch (error) {
        // a process may end between the listing and the reading, and some belong to a guarded init
        if (!['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
      }
    }
  }
  return found;
}

/** Polls until `condition` holds; false when it does not within `limitMs`. */
export async function within(limitMs: number, condition: () => boolean | Promise<boolean>): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  while (!(await condition())) {
    if (performance.now() > deadline) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}
