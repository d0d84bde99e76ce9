import { seededRandom } from '../../runtime/random.ts';
import type { Identifier } from '../identifier.ts';
import { distanceBetween, fingerStart, identifierBits, serviceKey } from '../identifier.ts';
import type { Peer, RingTransport } from '../messages.ts';
import { RingNode } from '../ring-node.ts';
import { defaultSuccessorListLength } from '../ring-node-options.ts';
import { SimulatedClock } from './simulated-clock.ts';

export interface HopsMeasured {
  nodes: number;
  lookups: number;
  meanHops: number;
  /** Half the binary logarithm of the number of nodes, and one more: what Chord promises (section 4.4). */
  bound: number;
  mostHops: number;
  /** Lookups that found another owner than the right one. */
  wrong: number;
}

/**
 * Lookups in a quiet ring of `size` real ring nodes with exact fingers, without any network between them: from random
 * nodes, for random keys. The same seed gives the same result. 10,000 nodes take a few seconds.
 */
export async function measureHops(size: number, lookups: number, seed: number): Promise<HopsMeasured> {
  const random = seededRandom(seed);
  const clock = new SimulatedClock();
  const peers = Array.from({ length: size }, (_, index): Peer => {
    const name = `node-${seed}-${index}`;
    return { identifier: serviceKey(name), name, address: `${name}:7400` };
  }).sort((a, b) => (a.identifier < b.identifier ? -1 : 1));
  const nodes = new Map<Identifier, RingNode>();
  const transportOf = (self: Peer): RingTransport => ({
    async call(peer, method, params) {
      const node = nodes.get(peer.identifier) as RingNode;
      return await node.handle(method, params, { role: 'overlay', ...self });
    },
  });
  const at = (place: number): Peer => peers[(place + size) % size] as Peer;
  for (const self of peers)
    nodes.set(self.identifier, new RingNode({ self, transport: transportOf(self), clock, random }));
  for (const [place, self] of peers.entries()) {
    const node = nodes.get(self.identifier) as RingNode;
    // Each is told of its neighbourhood only: a list of all would cost size squared.
    const around = Array.from({ length: defaultSuccessorListLength + 2 }, (_, step) => at(place - 1 + step));
    node.create(around);
    node.setFingers(fingersOf(self, at(place + 1), peers));
  }
  await clock.runUntil(1);
  let hops = 0;
  let mostHops = 0;
  let wrong = 0;
  for (let index = 0; index < lookups; index += 1) {
    const asker = nodes.get(at(random.below(size)).identifier) as RingNode;
    const key = serviceKey(`key-${seed}-${index}`);
    const found = await asker.lookup(key);
    if (found.owner.identifier !== ownerOf(peers, key).identifier) wrong += 1;
    hops += found.hops;
    mostHops = Math.max(mostHops, found.hops);
  }
  for (const node of nodes.values()) node.stop();
  return {
    nodes: size,
    lookups,
    meanHops: hops / lookups,
    bound: 0.5 * Math.log2(size) + 1,
    mostHops,
    wrong,
  };
}

/** Those that point beyond the first successor; all others would point to it. */
function fingersOf(self: Peer, head: Peer, peers: readonly Peer[]): Map<number, Peer> {
  const fingers = new Map<number, Peer>();
  const lowest = distanceBetween(self.identifier, head.identifier).toString(2).length;
  for (let power = lowest; power < identifierBits; power += 1)
    fingers.set(power, ownerOf(peers, fingerStart(self.identifier, power)));
  return fingers;
}

/** The first of the sorted peers at or after `key`. */
function ownerOf(peers: readonly Peer[], key: Identifier): Peer {
  let low = 0;
  let high = peers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((peers[middle] as Peer).identifier < key) low = middle + 1;
    else high = middle;
  }
  return peers[low % peers.length] as Peer;
}
