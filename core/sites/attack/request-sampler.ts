import { existsSync, readFileSync } from 'node:fs';
import { systemClock } from '../../runtime/clock.ts';
import { MoveError } from '../../runtime/errors.ts';
import { runProgram } from '../../runtime/process.ts';
import { type PodReading, readConnections } from './request-reading.ts';

const SS_LIMIT_MS = 2_000;
/** Some 10,000 connections; who has more is counted by as many. */
const MOST_BYTES = 4 << 20;
/** The kernel counts processor time in hundredths of a second. */
const TICK_MS = 10;

/** A pod whose requests are to be read. */
export interface ReadablePod {
  /** Any process in it. */
  processId: number;
  /** All of them. */
  processIds: readonly number[];
  ports: readonly number[];
  /** The address from which the gateway calls the service. */
  gatewayAddress: string;
}

/**
 * Reads who is connected to a service, from inside its pod's network namespace, and what its processes have used: one
 * short run of ss, some milliseconds of a processor, nothing captured. Undefined when the pod is gone meanwhile.
 * @throws MoveError `PROGRAM_MISSING` when nsenter is not installed, `COUNTERS_UNREADABLE` when ss says nothing.
 */
export async function readPod(pod: ReadablePod, signal: AbortSignal): Promise<PodReading | undefined> {
  const listed = await runProgram(
    'nsenter',
    [`--net=/proc/${pod.processId}/ns/net`, 'ss', '-tinHO', 'state', 'established'],
    { timeoutMs: SS_LIMIT_MS, signal, maxOutputBytes: MOST_BYTES },
  );
  if (listed.code !== 0) {
    if (!existsSync(`/proc/${pod.processId}/ns/net`)) return undefined;
    throw new MoveError(
      'COUNTERS_UNREADABLE',
      'ss did not say who is connected. Run "ss -tinHO" on the site to see why.',
      { code: listed.code, timedOut: listed.timedOut, stderr: listed.stderr.slice(-500) },
    );
  }
  return {
    at: systemClock.now(),
    monotonic: systemClock.monotonic(),
    ...readConnections(listed.stdout, pod.ports, pod.gatewayAddress),
    processorMs: pod.processIds.reduce((sum, processId) => sum + processorMs(processId), 0),
  };
}

/** Of a process and the children that it has waited for; 0 when it is gone. */
function processorMs(processId: number): number {
  try {
    const stat = readFileSync(`/proc/${processId}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // utime, stime, cutime and cstime: fields 14 to 17 of proc(5).
    return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) * TICK_MS;
  } catch {
    return 0;
  }
}
