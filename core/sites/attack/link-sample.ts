/**
 * One reading of a site's counters. Every counter only grows; what happened is the difference of two
 * readings. Times are in milliseconds.
 */
export interface LinkSample {
  /** Wall clock, for alarms that people read. */
  at: number;
  /** A clock that never jumps, for rates. */
  monotonic: number;
  /** The primary link: bytes and packets in and out, as its device counts them. */
  receivedBytes: number;
  receivedPackets: number;
  sentBytes: number;
  sentPackets: number;
  /** The whole host: UDP packets to a port nobody listens on, and such as a full socket dropped. */
  udpUnwanted: number;
  /** The whole host: ICMP messages received. */
  icmpReceived: number;
  /**
   * The whole host: IP packets received, and of these the ones that were delivered or forwarded; the rest
   * was malformed or a firewall dropped it.
   */
  ipReceived: number;
  ipUsed: number;
  /** Host and pods: SYN cookies sent, and such as came back valid. */
  synCookiesSent: number;
  synCookiesReceived: number;
}

/** Sums of the fields named, over the lines that begin with `prefix`, of a /proc/net table of names and values. */
export function readTable(text: string, prefix: string, names: readonly string[]): number[] {
  const start = text.startsWith(prefix) ? 0 : text.indexOf(`\n${prefix}`) + 1;
  if (start === 0 && !text.startsWith(prefix)) return names.map(() => 0);
  const headEnd = text.indexOf('\n', start);
  const valuesEnd = text.indexOf('\n', headEnd + 1);
  const head = text.slice(start, headEnd).split(' ');
  const values = text.slice(headEnd + 1, valuesEnd === -1 ? undefined : valuesEnd).split(' ');
  return names.map((name) => Number(values[head.indexOf(name)] ?? 0));
}

/** The four counters of one device in /proc/net/dev; undefined when there is no such device. */
export function readDevice(
  text: string,
  device: string,
): Pick<LinkSample, 'receivedBytes' | 'receivedPackets' | 'sentBytes' | 'sentPackets'> | undefined {
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon === -1 || line.slice(0, colon).trim() !== device) continue;
    const fields = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(Number);
    return {
      receivedBytes: fields[0] ?? 0,
      receivedPackets: fields[1] ?? 0,
      sentBytes: fields[8] ?? 0,
      sentPackets: fields[9] ?? 0,
    };
  }
  return undefined;
}
