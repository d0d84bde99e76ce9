import { readFileSync } from 'node:fs';

/** The bytes that an interface has received and sent, as the network namespace of process `pid` counts them. */
export function interfaceBytes(pid: number, name: string): { received: number; sent: number } {
  return parseInterfaceBytes(readFileSync(`/proc/${pid}/net/dev`, 'latin1'), name);
}

/** One line of /proc/net/dev: eight figures of what came in, then eight of what went out. Zeros when it is not there. */
export function parseInterfaceBytes(table: string, name: string): { received: number; sent: number } {
  const line = table.split('\n').find((each) => each.trim().startsWith(`${name}:`));
  const figures =
    line
      ?.slice(line.indexOf(':') + 1)
      .trim()
      .split(/\s+/)
      .map(Number) ?? [];
  return { received: figures[0] ?? 0, sent: figures[8] ?? 0 };
}
