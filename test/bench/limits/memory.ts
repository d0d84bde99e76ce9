import { readFileSync, writeFileSync } from 'node:fs';

function statusOf(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const line = readFileSync(`/proc/${pid}/status`, 'utf8')
    .split('\n')
    .find((each) => each.startsWith(`${field}:`));
  return Number(/(\d+) kB/.exec(line ?? '')?.[1]) * 1024;
}

/** Watches what a process grows by: its most resident bytes from now on, less those of now. */
export function watchMemory(pid: number): { before: number; growth(): number } {
  const before = statusOf(pid, 'VmRSS');
  // proc(5): forgets the peak.
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  return { before, growth: () => Math.max(0, statusOf(pid, 'VmHWM') - before) };
}
