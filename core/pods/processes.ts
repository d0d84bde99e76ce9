import { readFileSync } from 'node:fs';

const pageBytes = 4096;

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

/** Bytes of its own that a process has in memory (proc(5), statm); 0 when it is gone. */
export function privateBytes(pid: number): number {
  try {
    const [, resident = 0, shared = 0] = readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ').map(Number);
    return (resident - shared) * pageBytes;
  } catch {
    return 0;
  }
}

/**
 * When the process was started, in clock ticks since the kernel was (proc(5), field 22 of stat): with its number it
 * tells a process from every other. Undefined when it is gone.
 */
export function startTime(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
