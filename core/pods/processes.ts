import { readFileSync } from 'node:fs';

/** The field `name` of /proc/PID/status, or undefined when the process is gone. */
function statusField(pid: number, name: string): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'latin1');
    return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(text)?.[1];
  } catch {
    return undefined;
  }
}

/** Whether the process still exists as more than a zombie. */
export function isAlive(pid: number): boolean {
  const state = statusField(pid, 'State');
  return state !== undefined && !/^[ZX]/.test(state);
}

/**
 * The first process of the pod: of these host process ids the one that is number 1 in a process
 * namespace of its own.
 */
export function findPodInit(pids: readonly number[]): number | undefined {
  return pids.find((pid) => {
    const numbers = statusField(pid, 'NSpid')?.split(/\s+/) ?? [];
    return numbers.length > 1 && numbers.at(-1) === '1' && isAlive(pid);
  });
}
