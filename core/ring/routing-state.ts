import type { Identifier } from './identifier.ts';
import { between, closerTo, distanceBetween, owns } from './identifier.ts';
import type { Neighbourhood, Peer } from './messages.ts';

const sameList = (a: readonly Peer[], b: readonly Peer[]): boolean =>
  a.length === b.length && a.every((peer, index) => peer.identifier === b[index]?.identifier);

/**
 * A node's own variables and the few atomic changes the protocol allows on them (Zave 2017, section 4).
 * Where Zave pads a shortened list with an imaginary entry, this list simply stays short until the next
 * stabilisation: the same entries are cut off by the next copy either way.
 */
export class RoutingState {
  readonly self: Peer;
  readonly length: number;
  /** Called after every change of predecessor or successors. */
  onChange: () => void = () => undefined;
  readonly #fingers = new Map<number, Peer>();
  #predecessor: Peer | null = null;
  #successors: readonly Peer[] = [];

  constructor(self: Peer, successorListLength: number) {
    this.self = self;
    this.length = successorListLength;
  }

  get predecessor(): Peer | null {
    return this.#predecessor;
  }

  get successors(): readonly Peer[] {
    return this.#successors;
  }

  get head(): Peer | undefined {
    return this.#successors[0];
  }

  get fingers(): ReadonlyMap<number, Peer> {
    return this.#fingers;
  }

  neighbourhood(): Neighbourhood {
    return { predecessor: this.#predecessor, successors: [...this.#successors] };
  }

  /**
   * Takes `head` and its list as one's own, the last entry falling off. In a ring smaller than the list
   * the copy comes back to this node and ends there.
   */
  copyList(head: Peer, itsSuccessors: readonly Peer[]): void {
    const list: Peer[] = [];
    const seen = new Set<Identifier>([this.self.identifier]);
    for (const peer of [head, ...itsSuccessors]) {
      if (list.length === this.length || peer.identifier === this.self.identifier) break;
      if (seen.has(peer.identifier)) continue;
      seen.add(peer.identifier);
      list.push(peer);
    }
    this.#setSuccessors(list);
  }

  setPredecessor(peer: Peer | null): void {
    if (peer?.identifier === this.self.identifier) return;
    if (peer?.identifier === this.#predecessor?.identifier) return;
    this.#predecessor = peer;
    this.onChange();
  }

  /** Takes a peer that does not answer out of the successor list and the fingers. */
  drop(identifier: Identifier): void {
    this.dropFinger(identifier);
    this.#setSuccessors(this.#successors.filter((peer) => peer.identifier !== identifier));
  }

  dropFinger(identifier: Identifier): void {
    for (const [power, finger] of this.#fingers) {
      if (finger.identifier === identifier) this.#fingers.delete(power);
    }
  }

  /** The lowest power whose finger starts after `peer`: lower fingers point to `peer` or before it. */
  powerBeyond(peer: Peer): number {
    return distanceBetween(this.self.identifier, peer.identifier).toString(2).length;
  }

  /** Sets one finger; those from there up to `above` (exclusive) would point to the same and go. */
  setFinger(power: number, peer: Peer, above = power + 1): void {
    this.#fingers.set(power, peer);
    for (let other = power + 1; other < above; other += 1) this.#fingers.delete(other);
    if (peer.identifier === this.self.identifier) this.#fingers.delete(power);
  }

  clear(): void {
    this.#fingers.clear();
    this.#predecessor = null;
    this.#successors = [];
  }

  /** True when `peer` would be a better first successor than the present one. */
  wouldPrecedeHead(peer: Peer): boolean {
    if (peer.identifier === this.self.identifier) return false;
    const head = this.head;
    return !head || between(this.self.identifier, peer.identifier, head.identifier);
  }

  /** True when this node is the owner of `key`, as far as it knows. */
  ownsKey(key: Identifier): boolean {
    if (this.#successors.length === 0) return true;
    return this.#predecessor !== null && owns(this.#predecessor.identifier, key, this.self.identifier);
  }

  /** At most `count` known members that precede `key`, the closest first, found among fingers and list. */
  closestPreceding(key: Identifier, count: number): Peer[] {
    const known = new Map<Identifier, Peer>();
    for (const peer of this.#fingers.values()) {
      if (between(this.self.identifier, peer.identifier, key)) known.set(peer.identifier, peer);
    }
    for (const peer of this.#successors) {
      if (between(this.self.identifier, peer.identifier, key)) known.set(peer.identifier, peer);
    }
    const closer = closerTo(key);
    return [...known.values()].sort((a, b) => closer(a.identifier, b.identifier)).slice(0, count);
  }

  #setSuccessors(list: readonly Peer[]): void {
    if (sameList(list, this.#successors)) return;
    this.#successors = list;
    this.onChange();
  }
}
