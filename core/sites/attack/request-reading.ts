/** One connection of somebody who came directly, as the kernel counts it. */
export interface DirectConnection {
  address: string;
  port: number;
  bytesIn: number;
  bytesOut: number;
  /** Segments with data, those that came again included. */
  segmentsIn: number;
  segmentsOut: number;
  /** Milliseconds since something was sent to this end; undefined when nothing ever was. */
  sentMsAgo?: number;
}

/** What a service's pod looks like at one moment. Times in milliseconds. */
export interface PodReading {
  at: number;
  monotonic: number;
  /** Open connections from outside, complete handshakes only. */
  direct: readonly DirectConnection[];
  /** Connections by which the gateway brings known people from the overlay, and what came in on them. */
  known: readonly DirectConnection[];
  /** Processor time that the pod's processes have used, children that ended included. */
  processorMs: number;
}

/**
 * Reads what `ss -tinHO state established` prints for the ports given: who came by the gateway (from
 * `gatewayAddress`) and who came directly. Lines that say nothing of a peer are passed over.
 */
export function readConnections(
  text: string,
  ports: readonly number[],
  gatewayAddress: string,
): Pick<PodReading, 'direct' | 'known'> {
  const direct: DirectConnection[] = [];
  const known: DirectConnection[] = [];
  for (const line of text.split('\n')) {
    const [, , local, peer] = line.trim().split(/\s+/, 4);
    const here = endOf(local);
    const there = endOf(peer);
    if (!here || !there || !ports.includes(here.port)) continue;
    const counts = new Map<string, number>();
    for (const [, name, value] of line.matchAll(/ ([a-z_]+):(\d+)/g)) counts.set(name ?? '', Number(value));
    (there.address === gatewayAddress ? known : direct).push({
      ...there,
      bytesIn: counts.get('bytes_received') ?? 0,
      // What was sent, whether or not it has arrived: on a full link answers take long, and are answers.
      bytesOut: counts.get('bytes_sent') ?? 0,
      segmentsIn: counts.get('data_segs_in') ?? 0,
      segmentsOut: counts.get('data_segs_out') ?? 0,
      ...(counts.has('data_segs_out') ? { sentMsAgo: counts.get('lastsnd') ?? 0 } : {}),
    });
  }
  return { direct, known };
}

/** `[::ffff:198.18.1.1]:80` and `198.18.1.1:80` are the same end. */
function endOf(text: string | undefined): { address: string; port: number } | undefined {
  const parts = /^\[?(?:::ffff:)?([0-9a-f.:]+?)\]?:(\d+)$/.exec(text ?? '');
  return parts?.[1] === undefined ? undefined : { address: parts[1], port: Number(parts[2]) };
}
