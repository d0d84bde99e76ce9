import { closeSync, openSync, readSync } from 'node:fs';
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
  #pod: number | undefined;
  #podCookies: [number, number] = [0, 0];
  #podBase: [number, number] = [0, 0];
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LinkSamplerOptions) {
    this.#device = options.device;
    this.#periodMs = options.periodMs ?? 25;
    this.#clock = options.clock ?? systemClock;
    this.#directory = options.directory ?? '/proc/self/net';
  }

  /**
   * Counts the SYN cookies of a pod's own network namespace too, given any process in it; undefined lets go
   * of the pod. Let go before a pod's namespace is to vanish: the open file keeps it alive.
   */
  watchPod(processId: number | undefined): void {
    if (this.#pod !== undefined) closeSync(this.#pod);
    this.#pod = undefined;
    // What earlier pods have counted stays counted, so that the sums only grow.
    this.#podBase = this.#podCookies;
    if (processId === undefined) return;
    this.#pod = this.#open(`/proc/${processId}/net/netstat`);
    const [sent, received] = this.#cookies(this.#pod);
    this.#podBase = [this.#podBase[0] - sent, this.#podBase[1] - received];
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
    const own = this.#cookies(this.#files.netstat);
    if (this.#pod !== undefined) {
      const pod = this.#cookies(this.#pod);
      this.#podCookies = [this.#podBase[0] + pod[0], this.#podBase[1] + pod[1]];
    }
    return {
      at,
      monotonic,
      ...device,
      udpUnwanted: udp[0]! + udp[1]!,
      icmpReceived: icmp[0]!,
      ipReceived: ip[0]!,
      ipUsed: ip[1]! + ip[2]!,
      synCookiesSent: own[0] + this.#podCookies[0],
      synCookiesReceived: own[1] + this.#podCookies[1],
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
    this.watchPod(undefined);
  }

  #cookies(file: number): [number, number] {
    const [sent, received] = readTable(this.#read(file), 'TcpExt: ', ['SyncookiesSent', 'SyncookiesRecv']);
    return [sent!, received!];
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
