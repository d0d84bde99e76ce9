import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/* States of /proc/net/tcp in which a socket that its process has closed still owes bytes or its end to the other. */
const finWait1 = '04';
const lastAck = '09';
const closing = '0B';

/** An IPv4 address as /proc/net/tcp writes it: hexadecimal, last byte first. */
const written = (address: string): string =>
  address
    .split('.')
    .reverse()
    .map((byte) => Number(byte).toString(16).padStart(2, '0').toUpperCase())
    .join('');

/**
 * How many connections between processes of a pod are closed on one side by a process that is done with them, and
 * have bytes on their way to the other. They belong to no process any more, so a checkpoint does not carry them;
 * the kernel delivers them by itself, also to a frozen process, if it is given the moment.
 * @param table what /proc/net/tcp says (proc(5)); `addresses` are the pod's own beside loopback.
 */
export function orphansInFlight(table: string, addresses: readonly string[]): number {
  const own = addresses.map(written);
  const isInside = (end: string): boolean => own.includes(end.slice(0, 8)) || end.startsWith('7F', 6);
  let count = 0;
  for (const line of table.split('\n').slice(1)) {
    const [, local, remote, state, queues, , , , , inode] = line.trim().split(/\s+/);
    if (inode !== '0' || local === undefined || remote === undefined) continue;
    if (state !== finWait1 && state !== lastAck && state !== closing) continue;
    if (!isInside(local) || !isInside(remote)) continue;
    if (!queues!.startsWith('00000000')) count += 1;
  }
  return count;
}

/** Waits until nothing of that kind is left, at most `limitMs`; tells how many there were at first and at last. */
export async function settleInFlight(
  pid: number,
  addresses: readonly string[],
  limitMs: number,
): Promise<{ first: number; left: number }> {
  const until = performance.now() + limitMs;
  const look = () => orphansInFlight(readFileSync(`/proc/${pid}/net/tcp`, 'latin1'), addresses);
  const first = look();
  let left = first;
  while (left > 0 && performance.now() < until) {
    await delay(1);
    left = look();
  }
  return { first, left };
}
