import { MoveError } from '../runtime/errors.ts';
import type { Identifier } from './identifier.ts';
import { parseIdentifier } from './identifier.ts';

/** A member of the ring as others know it. */
export interface Peer {
  identifier: Identifier;
  name: string;
  /** `host:port` where it takes links. */
  address: string;
}

/** Who sends a message, as the link's certificate says; a composition fills it in, never the message. */
export interface RingCaller {
  role: string;
  name: string;
  /** `ringIdentifier` of the caller's certificate. */
  identifier: Identifier;
}

/**
 * How a node reaches another. The implementation must refuse (reject) when whoever answers at
 * `peer.address` has a certificate whose `ringIdentifier` is not `peer.identifier`, must reject by
 * `deadlineMs` at the latest, and quickly when the connection is refused. `params` and the answer are
 * JSON-safe.
 */
export interface RingTransport {
  call(peer: Peer, method: string, params: unknown, deadlineMs: number): Promise<unknown>;
}

/** What a node says of its place: the answer to `ring.state`, the pull of stabilisation. */
export interface Neighbourhood {
  predecessor: Peer | null;
  successors: Peer[];
}

/** The answer to `ring.step`: what a lookup needs to go on from here. */
export interface StepAnswer {
  successors: Peer[];
  /** The closest known members that precede the key, the closest first. */
  closer: Peer[];
}

/** The answer to `ring.ping`. */
export interface PingAnswer {
  member: boolean;
  /** True when the ring is running, false while its first members wait for one another. */
  formed: boolean;
}

const peerListLimit = 32;

const bad = (what: string): MoveError =>
  new MoveError('RING_BAD_MESSAGE', `A ring message was malformed: ${what}.`, { what });

export function asRecord(value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw bad('an object was expected');
}

/** @throws MoveError `RING_BAD_MESSAGE`. */
export function parsePeer(value: unknown): Peer {
  const { identifier, name, address } = asRecord(value);
  if (typeof name !== 'string' || name.length < 1 || name.length > 64) throw bad('a peer needs a name');
  if (typeof address !== 'string' || address.length < 1 || address.length > 128) {
    throw bad('a peer needs an address');
  }
  return { identifier: parseIdentifier(identifier), name, address };
}

/** @throws MoveError `RING_BAD_MESSAGE`, also for more than 32 peers. */
export function parsePeers(value: unknown): Peer[] {
  if (!Array.isArray(value) || value.length > peerListLimit) throw bad('a short list of peers was expected');
  return value.map(parsePeer);
}

export const parseOptionalPeer = (value: unknown): Peer | null => (value === null ? null : parsePeer(value));

export function parseNeighbourhood(value: unknown): Neighbourhood {
  const { predecessor, successors } = asRecord(value);
  return { predecessor: parseOptionalPeer(predecessor), successors: parsePeers(successors) };
}

export function parseStepAnswer(value: unknown): StepAnswer {
  const { successors, closer } = asRecord(value);
  return { successors: parsePeers(successors), closer: parsePeers(closer) };
}

export function parsePingAnswer(value: unknown): PingAnswer {
  const { member, formed } = asRecord(value);
  return { member: member === true, formed: formed === true };
}
