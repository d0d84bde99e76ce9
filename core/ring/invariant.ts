import type { Identifier } from './identifier.ts';
import { between } from './identifier.ts';
import type { Peer } from './messages.ts';
import { defaultSuccessorListLength } from './ring-node-options.ts';

/** What the check needs to know of one living member; `RingNode.status()` has it. */
export interface MemberState {
  identifier: Identifier;
  name: string;
  predecessor: Peer | null;
  successors: readonly Peer[];
}

export type RingRule =
  | 'one-live-successor'
  | 'distinct-successors'
  | 'ordered-successors'
  | 'at-least-one-ring'
  | 'at-most-one-ring'
  | 'ordered-ring'
  | 'connected-appendages'
  | 'base-not-skipped'
  | 'sufficient-principals';

export interface RingViolation {
  rule: RingRule;
  /** Name of the member whose state breaks the rule; for a ring that is too small, "the ring". */
  culprit: string;
  /** A sentence for people. */
  detail: string;
}

export interface RingCheck {
  holds: boolean;
  violations: RingViolation[];
}

export interface InvariantOptions {
  /** Zave's r. 4, as of a ring node that is not told otherwise. */
  successorListLength?: number;
  /** Members that must never be skipped, where the ring has a stable base (Zave 2015). */
  base?: readonly Identifier[];
}

/**
 * Zave's invariant over the states of all living members (2017, section 5: every member has a live
 * successor; at least r + 1 principals, a principal being a member that no successor list skips), together
 * with what follows from it and tells people more: distinct and ordered lists, exactly one ring, ordered,
 * every other member connected to it. Pure; takes time in the order of members times list length.
 */
export function checkRingInvariant(
  states: readonly MemberState[],
  options: InvariantOptions = {},
): RingCheck {
  const violations: RingViolation[] = [];
  const say = (rule: RingRule, culprit: string, detail: string): void => {
    violations.push({ rule, culprit, detail });
  };
  const members = new Map(states.map((state) => [state.identifier, state]));
  const order = [...members.keys()].sort();
  const next = new Map<Identifier, Identifier>();
  for (const state of members.values()) {
    const live = state.successors.find((peer) => members.has(peer.identifier));
    if (live) next.set(state.identifier, live.identifier);
    else if (members.size > 1) {
      say('one-live-successor', state.name, `No entry in the successor list of ${state.name} is alive.`);
    }
    checkList(state, say);
  }
  checkRings(members, next, order, say);
  checkSkipped(members, order, options, say);
  return { holds: violations.length === 0, violations };
}

type Say = (rule: RingRule, culprit: string, detail: string) => void;

function checkList(state: MemberState, say: Say): void {
  const seen = new Set([state.identifier]);
  let previous: Identifier | undefined;
  for (const peer of state.successors) {
    if (seen.has(peer.identifier)) {
      say('distinct-successors', state.name, `${state.name} lists ${peer.name} twice, or itself.`);
    }
    seen.add(peer.identifier);
    if (previous !== undefined && !between(previous, peer.identifier, state.identifier)) {
      say('ordered-successors', state.name, `${state.name} lists ${peer.name} out of order.`);
    }
    previous = peer.identifier;
  }
}

/** Follows first live successors: a member that comes back to itself is on a ring, any other an appendage. */
function checkRings(
  members: ReadonlyMap<Identifier, MemberState>,
  next: ReadonlyMap<Identifier, Identifier>,
  order: readonly Identifier[],
  say: Say,
): void {
  const nameOf = (identifier: Identifier): string => members.get(identifier)?.name ?? identifier;
  const rings = findRings(order, next);
  if (rings.length === 0 && members.size > 1) {
    say('at-least-one-ring', 'the ring', 'Following successors leads nowhere back: there is no ring.');
  }
  rings.sort((a, b) => b.length - a.length);
  for (const ring of rings.slice(1)) {
    const culprit = nameOf(ring[0] as Identifier);
    say('at-most-one-ring', culprit, `${ring.map(nameOf).join(', ')} form a ring of their own.`);
  }
  for (const ring of rings) {
    const sorted = [...ring].sort();
    ring.forEach((identifier, place) => {
      const after = ring[(place + 1) % ring.length] as Identifier;
      const right = sorted[(sorted.indexOf(identifier) + 1) % sorted.length] as Identifier;
      if (after === right) return;
      say(
        'ordered-ring',
        nameOf(identifier),
        `${nameOf(identifier)} goes on to ${nameOf(after)}, past ${nameOf(right)} on the same ring.`,
      );
    });
  }
  const onRing = new Set(rings[0] ?? []);
  for (const identifier of order) {
    let at: Identifier | undefined = identifier;
    for (let step = 0; at !== undefined && !onRing.has(at) && step <= order.length; step += 1)
      at = next.get(at);
    if (rings.length === 1 && (at === undefined || !onRing.has(at))) {
      say('connected-appendages', nameOf(identifier), `${nameOf(identifier)} does not lead to the ring.`);
    }
  }
}

function findRings(order: readonly Identifier[], next: ReadonlyMap<Identifier, Identifier>): Identifier[][] {
  const rings: Identifier[][] = [];
  const done = new Set<Identifier>();
  for (const start of order) {
    const path: Identifier[] = [];
    const onPath = new Set<Identifier>();
    let at: Identifier | undefined = start;
    while (at !== undefined && !done.has(at) && !onPath.has(at)) {
      path.push(at);
      onPath.add(at);
      at = next.get(at);
    }
    if (at !== undefined && onPath.has(at)) rings.push(path.slice(path.indexOf(at)));
    for (const identifier of path) done.add(identifier);
  }
  return rings;
}

function checkSkipped(
  members: ReadonlyMap<Identifier, MemberState>,
  order: readonly Identifier[],
  options: InvariantOptions,
  say: Say,
): void {
  const needed = (options.successorListLength ?? defaultSuccessorListLength) + 1;
  const skippedBy = findSkipped(members.values(), order);
  for (const passed of options.base ?? []) {
    const culprit = skippedBy.get(passed);
    const skipped = members.get(passed)?.name ?? passed;
    if (culprit) say('base-not-skipped', culprit.name, `${culprit.name} skips ${skipped} of the base.`);
  }
  const principals = members.size - skippedBy.size;
  if (principals >= needed) return;
  if (members.size < needed) {
    say('sufficient-principals', 'the ring', `The ring has ${members.size} members and needs ${needed}.`);
    return;
  }
  const [skipped, culprit] = [...skippedBy][0] as [Identifier, MemberState];
  const skippedName = members.get(skipped)?.name ?? skipped;
  say(
    'sufficient-principals',
    culprit.name,
    `Only ${principals} of the ${needed} members needed are skipped by nobody; ${culprit.name} skips ${skippedName}.`,
  );
}

/**
 * The principals: members that no member's extended successor list (itself, then its list) passes by
 * (Zave 2017, section 5.2).
 */
export function principalsOf(states: readonly MemberState[]): Set<Identifier> {
  const order = states.map((state) => state.identifier).sort();
  const skippedBy = findSkipped(states, order);
  return new Set(order.filter((identifier) => !skippedBy.has(identifier)));
}

/** Every member that is passed by, with one member whose list does it. */
function findSkipped(
  states: Iterable<MemberState>,
  order: readonly Identifier[],
): Map<Identifier, MemberState> {
  const skippedBy = new Map<Identifier, MemberState>();
  for (const state of states) {
    let from = state.identifier;
    for (const { identifier } of state.successors) {
      if (identifier === state.identifier) break;
      for (const passed of strictlyBetween(order, from, identifier)) {
        if (!skippedBy.has(passed)) skippedBy.set(passed, state);
      }
      from = identifier;
    }
  }
  return skippedBy;
}

/** The entries of the sorted `order` strictly between `a` and `b`, going up the circle. */
function* strictlyBetween(order: readonly Identifier[], a: Identifier, b: Identifier): Generator<Identifier> {
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((order[middle] as Identifier) <= a) low = middle + 1;
    else high = middle;
  }
  for (let step = 0; step < order.length; step += 1) {
    const identifier = order[(low + step) % order.length] as Identifier;
    if (!between(a, identifier, b)) return;
    yield identifier;
  }
}

/**
 * What quiet must lead to (Zave 2017, section 6): every member lists exactly the living members after it and
 * knows the one before it. Returns the names of members that are not there yet.
 */
export function membersNotSettled(states: readonly MemberState[], successorListLength: number): string[] {
  const ring = [...states].sort((a, b) => (a.identifier < b.identifier ? -1 : 1));
  const size = ring.length;
  return ring
    .filter((state, place) => {
      const wanted = Array.from({ length: Math.min(successorListLength, size - 1) }, (_, step) => {
        return ring[(place + 1 + step) % size]?.identifier;
      });
      const listed = state.successors.map((peer) => peer.identifier);
      const before = size > 1 ? ring[(place + size - 1) % size]?.identifier : undefined;
      return listed.join() !== wanted.join() || state.predecessor?.identifier !== before;
    })
    .map((state) => state.name);
}
