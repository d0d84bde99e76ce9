import { statfsSync, statSync } from 'node:fs';
import { BlockList } from 'node:net';
import { networkInterfaces } from 'node:os';
import { z } from 'zod';
import { MoveError } from '../runtime/errors.ts';
import {
  type GuardedManifest,
  guardedManifestSchema,
  type ManifestText,
  readManifestFile,
} from './lab-manifest-file.ts';

/** Nothing that a drill sends exceeds these, whoever asks. */
export const loadBounds = {
  seconds: 60,
  mbit: 200,
  packets: 1_250_000,
  connections: 64,
  packetsPerSecond: 10_000,
  requestsPerSecond: 1_000,
} as const;

const address = z.string().max(15);
const port = z.number().int().min(1).max(65_535);
const seconds = z.number().positive().max(loadBounds.seconds);

/** What a drill may ask a host of the lab to send. */
export const loadRequestSchema = z.discriminatedUnion('purpose', [
  z.strictObject({
    purpose: z.literal('udp-flood'),
    address,
    port,
    seconds,
    /** Megabits a second, counted in whole IP packets. */
    mbit: z.number().positive().max(loadBounds.mbit),
  }),
  z.strictObject({
    purpose: z.literal('node-flood'),
    address,
    port,
    seconds,
    /** As above, at an overlay node. */
    mbit: z.number().positive().max(loadBounds.mbit),
  }),
  z.strictObject({
    purpose: z.literal('icmp-flood'),
    address,
    port,
    seconds,
    /** As above, of ICMP echo requests; the port stands for nothing. */
    mbit: z.number().positive().max(loadBounds.mbit),
  }),
  z.strictObject({
    purpose: z.literal('syn-flood'),
    address,
    port,
    seconds,
    /** Connection attempts a second. */
    packetsPerSecond: z.number().int().positive().max(loadBounds.packetsPerSecond),
  }),
  z.strictObject({
    purpose: z.enum(['http-flood', 'expensive-requests']),
    address,
    port,
    seconds,
    connections: z.number().int().min(1).max(loadBounds.connections),
    requestsPerSecond: z.number().positive().max(loadBounds.requestsPerSecond),
  }),
  z.strictObject({
    purpose: z.literal('slow-http'),
    address,
    port,
    seconds,
    connections: z.number().int().min(1).max(loadBounds.connections),
  }),
  z.strictObject({
    purpose: z.literal('honest-surge'),
    address,
    port,
    seconds,
    connections: z.number().int().min(1).max(loadBounds.connections),
  }),
]);
export type LoadRequest = z.infer<typeof loadRequestSchema>;

/** Where this process stands: all that the guard judges a request by. */
export interface Surroundings {
  manifest: ManifestText;
  /** Inode of this process's network namespace; undefined when the kernel does not say. */
  namespaceInode: number | undefined;
  /** IPv4 addresses of this namespace's devices, loopback left out. */
  localAddresses: readonly string[];
}

/** Which host may send, and which addresses of which hosts it may send to, by purpose. */
const allowed: Record<LoadRequest['purpose'], { from: string; to: string; kinds: readonly string[] }> = {
  'udp-flood': { from: 'bot', to: 'site', kinds: ['primary', 'secondary'] },
  'icmp-flood': { from: 'bot', to: 'site', kinds: ['primary'] },
  'syn-flood': { from: 'bot', to: 'site', kinds: ['primary'] },
  'http-flood': { from: 'bot', to: 'site', kinds: ['primary'] },
  'slow-http': { from: 'bot', to: 'site', kinds: ['primary'] },
  'expensive-requests': { from: 'bot', to: 'site', kinds: ['primary'] },
  'node-flood': { from: 'bot', to: 'overlay', kinds: ['global'] },
  'honest-surge': { from: 'client', to: 'site', kinds: ['primary'] },
};

/** Address blocks that no packet on the internet is routed to (RFC 1918, 2544, 5737, 6598). */
const unrouted = new BlockList();
for (const [network, prefix] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['100.64.0.0', 10],
  ['198.18.0.0', 15],
  ['192.0.2.0', 24],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
] as const) {
  unrouted.addSubnet(network, prefix);
}

/** Four decimal numbers without leading zeros, and nothing else: no name, no octal, no hexadecimal, no IPv6. */
const literal = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

const permitted = new WeakSet<object>();

/** Whether this very object came out of {@link guardTarget}; a look-alike did not. */
export function isPermitted(request: LoadRequest): boolean {
  return permitted.has(request);
}

/**
 * The last check before a packet is sent: returns a frozen copy of the request when this process stands in a
 * network namespace that this lab made for a host that may send such load, and the target is an address of a
 * host of the same lab that may get it. It reads the surroundings itself, each time, and takes no word for them.
 * @throws MoveError `FLOOD_REFUSED` otherwise, with a sentence.
 */
export function guardTarget(request: unknown): LoadRequest {
  const checked = judgeTarget(request, readSurroundings());
  permitted.add(checked);
  return checked;
}

/**
 * The same judgement over given surroundings, pure. What it returns permits nothing yet: only
 * {@link guardTarget} does, on the host itself. @throws MoveError `FLOOD_REFUSED`.
 */
export function judgeTarget(request: unknown, surroundings: Surroundings): LoadRequest {
  const checked = checkRequest(request);
  const manifest = readManifest(surroundings.manifest);
  const { namespaceInode, localAddresses } = surroundings;
  const here = Object.values(manifest.hosts).filter((host) => host.netnsInode === namespaceInode);
  const host = here[0];
  if (namespaceInode === undefined || host === undefined) {
    throw refused('this process does not stand in a network namespace that this lab made');
  }
  if (here.length > 1) throw refused("the lab's manifest names this network namespace more than once");
  const rule = allowed[checked.purpose];
  if (host.role !== rule.from)
    throw refused(`the host ${host.name} is a ${host.role}, and only a ${rule.from} may`);
  // Inode numbers are used again: the addresses tell a manifest that was left over from one that is true.
  const listed = new Set(Object.values(host.addresses));
  if (localAddresses.length === 0 || localAddresses.some((local) => !listed.has(local))) {
    throw refused(`the addresses of this network namespace are not those of the lab's host ${host.name}`);
  }
  checkTarget(checked, manifest);
  return checked;
}

/**
 * Refuses early, for a control plane that holds the lab's manifest: says before anything is started what the
 * guard on the host would say about the target. It permits nothing. @throws MoveError `FLOOD_REFUSED`.
 */
export function refuseEarly(request: unknown, manifest: unknown): LoadRequest {
  const checked = checkRequest(request);
  checkTarget(checked, readManifest({ text: JSON.stringify(manifest) ?? '' }));
  return checked;
}

/** What the kernel and the file system say about where this process stands. Never throws. */
export function readSurroundings(): Surroundings {
  let namespaceInode: number | undefined;
  try {
    const PROC_SUPER_MAGIC = 0x9fa0;
    if (statfsSync('/proc').type === PROC_SUPER_MAGIC) namespaceInode = statSync('/proc/self/ns/net').ino;
  } catch {
    namespaceInode = undefined; // judged as standing outside the lab
  }
  const localAddresses = Object.values(networkInterfaces())
    .flatMap((device) => device ?? [])
    .filter((entry) => entry.family === 'IPv4' && !entry.internal)
    .map((entry) => entry.address);
  return { manifest: readManifestFile(), namespaceInode, localAddresses };
}

function checkRequest(request: unknown): LoadRequest {
  const parsed = loadRequestSchema.safeParse(request);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw refused(
      `the request is out of bounds (${issue?.path.join('.') || 'request'}: ${issue?.message ?? 'invalid'})`,
    );
  }
  const checked = parsed.data;
  if (!literal.test(checked.address)) {
    throw refused(
      'the target must be an IPv4 address written as four decimal numbers, not a name or another notation',
    );
  }
  const first = Number(checked.address.split('.')[0]);
  if (first === 127) throw refused('the target is this machine itself');
  if (first === 0 || first >= 224) throw refused('the target is a multicast, broadcast or reserved address');
  if (!unrouted.check(checked.address))
    throw refused('the target is an address that is routed on the internet');
  if (!('connections' in checked) && packetCount(checked) > loadBounds.packets) {
    throw refused(`it would send more than ${loadBounds.packets} packets`);
  }
  return Object.freeze(checked);
}

function readManifest(source: ManifestText): GuardedManifest {
  if ('fault' in source) throw refused(`this is no host of a lab: ${source.fault}`);
  let body: unknown;
  try {
    body = JSON.parse(source.text);
  } catch {
    throw refused("the lab's manifest is damaged");
  }
  const parsed = guardedManifestSchema.safeParse(body);
  if (!parsed.success) throw refused("the lab's manifest is damaged");
  return parsed.data;
}

function checkTarget(request: LoadRequest, manifest: GuardedManifest): void {
  const rule = allowed[request.purpose];
  const holders = Object.values(manifest.hosts).flatMap((host) =>
    Object.entries(host.addresses)
      .filter(([, value]) => value === request.address)
      .map(([kind]) => ({ host, kind })),
  );
  const holder = holders[0];
  if (holder === undefined) throw refused(`${request.address} is not an address of any host of this lab`);
  if (holders.length > 1) throw refused(`${request.address} is listed more than once in the lab's manifest`);
  if (holder.host.role !== rule.to || !rule.kinds.includes(holder.kind)) {
    throw refused(
      `${request.address} is the ${holder.kind} address of ${holder.host.name}, a ${holder.host.role}; ` +
        `a ${request.purpose} may only go to the ${rule.kinds.join(' or ')} address of a ${rule.to}`,
    );
  }
}

/** Bytes of payload in each packet of a flood: what fills a packet of 1500 bytes (20 bytes IP, 8 bytes UDP). */
export const PAYLOAD_BYTES = 1472;
export const PACKET_BYTES = PAYLOAD_BYTES + 28;

/** Packets that a flood sends at most. */
export function packetCount(
  request: { seconds: number } & ({ mbit: number } | { packetsPerSecond: number }),
): number {
  if ('packetsPerSecond' in request) return Math.ceil(request.packetsPerSecond * request.seconds);
  return Math.ceil((request.mbit * 1e6 * request.seconds) / 8 / PACKET_BYTES);
}

function refused(reason: string): MoveError {
  return new MoveError(
    'FLOOD_REFUSED',
    `This load is refused: ${reason}. Drills send only inside namespaces that this lab made; start one from the console.`,
    { reason },
  );
}
