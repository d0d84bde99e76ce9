import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { type Clock, systemClock } from '../../runtime/clock.ts';
import { MoveError } from '../../runtime/errors.ts';
import { type LinkSample, readDevice, readTable } from './link-sample.ts';

export interface LinkSamplerOptions {
  /** Name of the primary link's device. */
  device: string;
  /** Milliseconds from one sample to the next. Default 25. */
  periodMs?: number;
  clock?: Clock;
  /** Where the kernel shows the counters of this network namespace. Default `/proc/self/net`. */
  directory?: string;
}

const BUFFER_BYTES = 65_536;

/**
 * Reads a site's counters at a steady pace through file descriptors that stay open: 0.1 to 0.3 ms a
 * sample. The device's counters come from /proc/net/dev and not from /sys, because a process that entered
 * its network namespace with `nsenter --net` still sees another namespace's /sys/class/net.
 */
export class LinkSampler {
  readonly #device: string;
  readonly #periodMs: number;
  readonly #clock: Clock;
  readonly #directory: string;
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #files: { device: number; snmp: number; netstat: number } | undefined;
  readonly #pods = new Map<number, { first: Attempts; latest: Attempts }>();
  #left: Attempts = [0, 0];
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LinkSamplerOptions) {
    this.#device = options.device;
    this.#periodMs = options.periodMs ?? 25;
    this.#clock = options.clock ?? systemClock;
    this.#directory = options.directory ?? '/proc/self/net';
  }

  /**
   * Counts the connection attempts in the pods' own network namespaces too, given any process in each. No file
   * of theirs is kept open: it would keep a namespace alive that is to vanish.
   */
  watchPods(processIds: readonly number[]): void {
    // What earlier pods have counted stays counted, so that the sums only grow.
    for (const [processId, pod] of this.#pods) {
      if (processIds.includes(processId)) continue;
      this.#pods.delete(processId);
      this.#left = sum(this.#left, difference(pod.latest, pod.first));
    }
    for (const processId of processIds) {
      if (this.#pods.has(processId)) continue;
      const first = readAttempts(processId);
      if (first !== undefined) this.#pods.set(processId, { first, latest: first });
    }
  }

  /**
   * Takes one sample now.
   * @throws MoveError `COUNTERS_UNREADABLE` when the device or the kernel's tables cannot be read.
   */
  sample(): LinkSample {
    this.#files ??= {
      device: this.#open(`${this.#directory}/dev`),
      snmp: this.#open(`${this.#directory}/snmp`),
      netstat: this.#open(`${this.#directory}/netstat`),
    };
    const device = readDevice(this.#read(this.#files.device), this.#device);
    const at = this.#clock.now();
    const monotonic = this.#clock.monotonic();
    if (device === undefined) throw this.#unreadable(`device ${this.#device}`, undefined);
    const snmp = this.#read(this.#files.snmp);
    const ip = readTable(snmp, 'Ip: ', ['InReceives', 'InDelivers', 'ForwDatagrams']);
    const udp = readTable(snmp, 'Udp: ', ['NoPorts', 'RcvbufErrors']);
    const icmp = readTable(snmp, 'Icmp: ', ['InMsgs']);
    let attempts = sum(attemptsIn(this.#read(this.#files.netstat)), this.#left);
    for (const [processId, pod] of this.#pods) {
      pod.latest = readAttempts(processId) ?? pod.latest;
      attempts = sum(attempts, difference(pod.latest, pod.first));
    }
    return {
      at,
      monotonic,
      ...device,
      udpUnwanted: udp[0]! + udp[1]!,
      icmpReceived: icmp[0]!,
      ipReceived: ip[0]!,
      ipUsed: ip[1]! + ip[2]!,
      synCookiesSent: attempts[0],
      synCookiesReceived: attempts[1],
    };
  }

  /**
   * Samples until {@link LinkSampler.close}. `onFault` hears of the first reading that fails; sampling ends
   * with it.
   */
  start(onSample: (sample: LinkSample) => void, onFault: (error: MoveError) => void): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => {
      let sample: LinkSample;
      try {
        sample = this.sample();
      } catch (thrown) {
        this.close();
        onFault(thrown instanceof MoveError ? thrown : this.#unreadable('counters', thrown));
        return;
      }
      onSample(sample);
    }, this.#periodMs);
  }

  /** Ends sampling and closes every file. */
  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (this.#files !== undefined) for (const file of Object.values(this.#files)) closeSync(file);
    this.#files = undefined;
  }

  #open(path: string): number {
    try {
      return openSync(path, 'r');
    } catch (thrown) {
      throw this.#unreadable(path, thrown);
    }
  }

  #read(file: number): string {
    let length = 0;
    try {
      // The kernel hands these tables out in pieces of a page.
      for (;;) {
        const part = readSync(file, this.#buffer, length, BUFFER_BYTES - length, length);
        if (part === 0) break;
        length += part;
      }
    } catch (thrown) {
      throw this.#unreadable('counters', thrown);
    }
    return this.#buffer.toString('latin1', 0, length);
  }

  #unreadable(what: string, cause: unknown): MoveError {
    return new MoveError(
      'COUNTERS_UNREADABLE',
      `The site cannot watch its primary link: ${what} cannot be read. Check the name of the device.`,
      { device: this.#device, reason: cause === undefined ? 'missing' : String(cause) },
      cause,
    );
  }
}

/** SYN cookies sent, and those that came back. */
type Attempts = readonly [number, number];

function attemptsIn(netstat: string): Attempts {
  const [sent, received] = readTable(netstat, 'TcpExt: ', ['SyncookiesSent', 'SyncookiesRecv']);
  return [sent!, received!];
}

/** Undefined when the process is gone, and its namespace perhaps with it. */
function readAttempts(processId: number): Attempts | undefined {
  try {
    return attemptsIn(readFileSync(`/proc/${processId}/net/netstat`, 'latin1'));
  } catch {
    return undefined;
  }
}

const sum = (a: Attempts, b: Attempts): Attempts => [a[0] + b[0], a[1] + b[1]];
const difference = (a: Attempts, b: Attempts): Attempts => [a[0] - b[0], a[1] - b[1]];
