import type { WantedWay, Way } from './way.ts';

/** What a forwarder is doing now and why. Times are milliseconds since the epoch. */
export interface ForwarderStatus {
  /** The same as one line for people. */
  line: string;
  wanted: WantedWay;
  accessPoint: { name: string; address: string } | null;
  standby: { name: string; address: string } | null;
  services: {
    service: string;
    way: Way;
    why: string;
    since: number;
    address: string | null;
    nextCheckMs: number | null;
  }[];
  connections: Readonly<Record<Way, number>>;
  nodeList: { version: number; nodes: number } | null;
  certificate: { name: string; notAfter: number; renewal: string };
}

const plural = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`;
const timeOf = (at: number): string => new Date(at).toLocaleTimeString('en-GB');

/** One line: which way, by which access point, why, since when, and what comes next. */
export function statusLine(status: Omit<ForwarderStatus, 'line'>): string {
  const { accessPoint, standby, services, connections } = status;
  const entry = accessPoint
    ? `overlay via ${accessPoint.name} (${accessPoint.address})`
    : 'no access point answers, trying again';
  const parts: string[] = [];
  if (status.wanted === 'overlay') parts.push(`${entry}, because everything shall go through the overlay`);
  else if (services.length === 0) parts.push(`${entry}, because no service was asked for yet`);
  for (const { service, way, why, since, address, nextCheckMs } of services) {
    const what = way === 'direct' ? `${service} directly at ${address}` : entry;
    const reason = way === 'direct' ? why : why.replace(/^it\b/, service);
    const next = nextCheckMs === null ? '' : `, next check in ${Math.ceil(nextCheckMs / 1000)} s`;
    parts.push(`${what}, because ${reason}, since ${timeOf(since)}${next}`);
  }
  parts.push(plural(connections.direct + connections.overlay, 'connection'));
  if (standby) parts.push(`${standby.name} stands by`);
  return parts.join('; ');
}
