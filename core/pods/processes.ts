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

/**
 * How many connections wait to be accepted, from the text of /proc/PID/net/tcp or tcp6: for a socket in
 * LISTEN the receive queue is the accept queue (proc_pid_net(5)).
 */
export function waitingConnections(table: string): number {
  let waiting = 0;
  for (const line of table.split('\n').slice(1)) {
    const fields = line.trim().split(/\s+/);
    if (fields[3] !== '0A') continue;
    waiting += Number.parseInt(fields[4]?.split(':')[1] ?? '0', 16);
  }
  return waiting;
}

/** Connections waiting in all accept queues of the network namespace that `pid` lives in. */
export function acceptQueueLength(pid: number): number {
  return (
    waitingConnections(readFileSync(`/proc/${pid}/net/tcp`, 'latin1')) +
    waitingConnections(readFileSync(`/proc/${pid}/net/tcp6`, { encoding: 'latin1' }))
  );
}
