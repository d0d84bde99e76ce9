import { MoveError, toMoveError } from '../runtime/errors.ts';
import type { ContactSource } from './contacts.ts';
import { Contacts } from './contacts.ts';
import type { Identifier } from './identifier.ts';
import { following, owns, parseIdentifier } from './identifier.ts';
import type { LookupResult } from './lookup.ts';
import { Lookup } from './lookup.ts';
import { LostPeers } from './lost-peers.ts';
import { Maintenance } from './maintenance.ts';
import type { Peer, PingAnswer, RingCaller } from './messages.ts';
import { asRecord, parseOptionalPeer, parsePeer, parsePeers } from './messages.ts';
import { RingCalls, stepAnswer } from './ring-calls.ts';
import type { RingNodeOptions, RingStatus } from './ring-node-options.ts';
import { defaultSuccessorListLength, longestSuccessorList } from './ring-node-options.ts';
import { RoutingState } from './routing-state.ts';

const busyRounds = 3;
const formingCount = 32;
const formingLimitMs = 30_000;
const joinRetryMs = 250;
/** Members that a route may go on to, should the closest fail. */
const routesOffered = 3;

/**
 * One member of a Chord ring with Zave's corrections ("Reasoning about identifier spaces: how to make Chord
 * correct", 2017). Knows neither sockets nor wall clocks: `handle` takes the messages of others, the
 * transport takes its own, the clock drives its rounds.
 */
export class RingNode {
  readonly #options: Required<Omit<RingNodeOptions, 'onTrouble'>>;
  readonly #trouble: (trouble: MoveError) => void;
  readonly #state: RoutingState;
  readonly #calls: RingCalls;
  readonly #lost: LostPeers;
  readonly #contacts: Contacts;
  readonly #maintenance: Maintenance;
  readonly #listeners = new Set<() => void>();
  #phase: 'outside' | 'forming' | 'member' = 'outside';
  #membership = 0;
  #busy = 0;
  #rounds = 0;
  #round: Promise<void> | null = null;
  #cancelTimer: () => void = () => undefined;

  constructor(options: RingNodeOptions) {
    this.#options = {
      successorListLength: defaultSuccessorListLength,
      quietPeriodMs: 500,
      busyPeriodMs: 50,
      callDeadlineMs: 750,
      quickDeadlineMs: 200,
      attempts: 2,
      ...options,
    };
    this.#trouble = options.onTrouble ?? (() => undefined);
    const { self, transport, clock, random, successorListLength } = this.#options;
    if (successorListLength < 1 || successorListLength > longestSuccessorList) {
      throw new MoveError(
        'RING_OPTIONS',
        `The length of successor lists must be from 1 to ${longestSuccessorList}.`,
      );
    }
    this.#state = new RoutingState(self, successorListLength);
    this.#calls = new RingCalls(this.#state, transport, this.#options);
    this.#lost = new LostPeers(clock);
    this.#contacts = new Contacts(self.identifier, random);
    this.#maintenance = new Maintenance(
      this.#state,
      this.#calls,
      this.#lost,
      this.#contacts,
      random,
      () => this.#phase !== 'outside',
    );
    this.#state.onChange = () => this.#changed();
  }

  /**
   * Starts a new ring together with `members` (this node among them, all given the same list). Until the
   * nearest of them (32 on the way up, which in a small ring is all) have answered once, or 30 s have gone
   * by, none is taken for failed and nobody may join.
   * @throws MoveError `RING_TOO_SMALL` with fewer than successor-list length + 1 members,
   * `RING_ALREADY_MEMBER`.
   */
  create(members: readonly Peer[]): void {
    this.#mustBeOutside();
    const { self, successorListLength } = this.#options;
    const ring = [...new Map(members.map((peer) => [peer.identifier, peer])).values()].sort((a, b) =>
      a.identifier < b.identifier ? -1 : 1,
    );
    const place = ring.findIndex((peer) => peer.identifier === self.identifier);
    if (place < 0 || ring.length < successorListLength + 1) {
      throw new MoveError(
        'RING_TOO_SMALL',
        `A ring starts with at least ${successorListLength + 1} members, this node among them. Name more first members.`,
        { members: ring.length, needed: successorListLength + 1 },
      );
    }
    const after = [...ring.slice(place + 1), ...ring.slice(0, place)];
    this.#enterPhase('forming');
    this.setContacts(after);
    this.#state.copyList(after[0] as Peer, after.slice(1));
    this.#state.setPredecessor(after[after.length - 1] as Peer);
    void this.#form(
      after.slice(0, formingCount),
      this.#options.clock.monotonic() + formingLimitMs,
      this.#membership,
    );
  }

  /**
   * Joins the ring that one of `contacts` belongs to, or of those that `setContacts` names meanwhile: finds its
   * successor and copies that one's list (Zave 2017, section 4.2). Tries again until `deadlineMs` from now.
   * @throws MoveError `RING_JOIN_FAILED`, `RING_ALREADY_MEMBER`, `CANCELLED` after `stop`.
   */
  async join(contacts: ContactSource, deadlineMs = 15_000): Promise<void> {
    this.#mustBeOutside();
    const { clock } = this.#options;
    this.setContacts(contacts);
    const limit = clock.monotonic() + deadlineMs;
    const membership = this.#membership;
    let reason: MoveError | undefined;
    for (;;) {
      // Read anew each time: `setContacts` may have named others since.
      const others = this.#contacts.all();
      const running = await this.#running(others);
      this.#mustStillJoin(membership);
      if (running.length > 0) {
        try {
          await this.#joinThrough(running, membership);
          return;
        } catch (thrown) {
          reason = toMoveError(thrown);
          if (reason.code === 'RING_ALREADY_MEMBER' || reason.code === 'CANCELLED') throw reason;
        }
      }
      if (clock.monotonic() + joinRetryMs >= limit) {
        throw new MoveError(
          'RING_JOIN_FAILED',
          'This node could not join the ring: no contact led to a place on it. Check that the contacts run.',
          { contacts: others.map((peer) => peer.name), reason: reason?.message },
          reason,
        );
      }
      await this.#pause(joinRetryMs);
    }
  }

  /**
   * What a node does at its start: joins when one of the others is in a running ring, else starts a ring
   * when it is among `firstMembers`, else waits for one to join until `deadlineMs` from now.
   * @throws MoveError `RING_JOIN_FAILED`, `RING_TOO_SMALL`, `RING_ALREADY_MEMBER`, `CANCELLED` after `stop`.
   */
  async enter(firstMembers: readonly Peer[], contacts: ContactSource, deadlineMs = 30_000): Promise<void> {
    const { self } = this.#options;
    const others = (): Peer[] => {
      const named = typeof contacts === 'function' ? contacts() : contacts;
      return [...new Map([...firstMembers, ...named].map((peer) => [peer.identifier, peer])).values()];
    };
    this.setContacts(others);
    const first = firstMembers.some((peer) => peer.identifier === self.identifier);
    const membership = this.#membership;
    const alone = first && (await this.#running(this.#contacts.all())).length === 0;
    this.#mustStillJoin(membership);
    if (!alone) return await this.join(others, deadlineMs);
    this.create(firstMembers);
    this.setContacts(others);
  }

  /** Leaves in an orderly way: both neighbours are told who takes this node's place. Never fails. */
  async leave(): Promise<void> {
    if (this.#phase === 'outside') return;
    const { predecessor, successors } = this.#state.neighbourhood();
    this.stop();
    const told = new Map<Identifier, Peer>();
    for (const peer of [predecessor, successors[0]]) if (peer) told.set(peer.identifier, peer);
    await Promise.all(
      [...told.values()].map((peer) => this.#calls.sayLeaving(peer, { predecessor, successors })),
    );
  }

  /**
   * Tells this node which overlay nodes exist, running or not; the last word counts, also while it joins. It asks
   * one of them now and then, so that two rings left by a partition find each other even when nobody remembers, and
   * all of them when it is alone.
   */
  setContacts(contacts: ContactSource): void {
    this.#contacts.source = contacts;
  }

  /** Ceases at once, telling nobody, as a crash would. */
  stop(): void {
    this.#phase = 'outside';
    this.#membership += 1;
    this.#cancelTimer();
    this.#state.clear();
    this.#lost.clear();
  }

  /**
   * The live owner of `key` and the way there.
   * @throws MoveError `RING_NOT_MEMBER`, `RING_LOOKUP_FAILED`.
   */
  async lookup(key: Identifier): Promise<LookupResult> {
    this.#mustBeMember();
    const { self } = this.#state;
    if (this.#state.ownsKey(key)) {
      return { owner: self, hops: 0, path: [self], successors: [...this.#state.successors] };
    }
    return await new Lookup(key, this.#calls.lookupSource(true, [], [], key)).findOwner();
  }

  /**
   * The owner of `key` and the members after it, at most `count`, as their predecessor lists them; none of
   * them is asked first, so one may be dead since the last stabilisation.
   * @throws MoveError `RING_NOT_MEMBER`, `RING_LOOKUP_FAILED`.
   */
  async successorsOf(key: Identifier, count: number): Promise<Peer[]> {
    this.#mustBeMember();
    const { self, successors } = this.#state;
    if (this.#state.ownsKey(key)) return [self, ...successors].slice(0, count);
    const source = this.#calls.lookupSource(true, [], [], key);
    return (await new Lookup(key, source).findCandidates()).slice(0, count);
  }

  /**
   * One step of the recursive route to the owner of `key` (Chord §4.3), from what this node knows: it is the
   * owner; or its successor is, the ones after it being next in line (`last`); or the closest members that
   * precede the key lead on, the closest first. Nothing is asked. @throws MoveError `RING_NOT_MEMBER`.
   */
  routeTowards(key: Identifier): { owner: true } | { owner: false; last: boolean; next: Peer[] } {
    this.#mustBeMember();
    const { self, head, successors } = this.#state;
    if (!head || this.#state.ownsKey(key)) return { owner: true };
    if (owns(self.identifier, key, head.identifier))
      return { owner: false, last: true, next: [...successors] };
    return { owner: false, last: false, next: this.#state.closestPreceding(key, routesOffered) };
  }

  status(): RingStatus {
    return {
      ...this.#state.self,
      member: this.#phase !== 'outside',
      formed: this.#phase === 'member',
      ...this.#state.neighbourhood(),
      fingers: [...this.#state.fingers].map(([power, peer]) => ({ power, peer })),
    };
  }

  /** Calls `listener` after each change of predecessor or successors; the returned function ends that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Gives this member complete, exact fingers at once, from full knowledge of the ring (for simulations). */
  setFingers(fingers: ReadonlyMap<number, Peer>): void {
    for (const [power, peer] of fingers) this.#state.setFinger(power, peer);
  }

  /**
   * Answers one message of another node.
   * @throws MoveError `RING_DENIED` for a caller that is no overlay node, `RING_IDENTITY_MISMATCH` for one
   * that speaks for another, `RING_NOT_MEMBER`, `RING_BAD_MESSAGE`, `UNKNOWN_METHOD`.
   */
  async handle(method: string, params: unknown, from: RingCaller): Promise<unknown> {
    if (from.role !== 'overlay') {
      throw new MoveError('RING_DENIED', 'Only overlay nodes may speak on the ring.', {
        name: from.name,
        role: from.role,
      });
    }
    if (method === 'ring.ping') {
      const member = this.#phase !== 'outside';
      return { member, formed: this.#phase === 'member' } satisfies PingAnswer;
    }
    this.#mustBeMember();
    switch (method) {
      case 'ring.state':
        return this.#state.neighbourhood();
      case 'ring.step':
        return stepAnswer(this.#state, parseIdentifier(asRecord(params).key));
      case 'ring.notify':
        this.#maintenance.considerPredecessor(this.#speaker(params, from));
        return {};
      case 'ring.leaving':
        this.#departed(this.#speaker(params, from), params);
        return {};
      default:
        throw new MoveError('UNKNOWN_METHOD', `An overlay node does not know the method ${method}.`, {
          method,
        });
    }
  }

  #speaker(params: unknown, from: RingCaller): Peer {
    const peer = parsePeer(asRecord(params).peer);
    if (peer.identifier === from.identifier && peer.name === from.name) return peer;
    throw new MoveError('RING_IDENTITY_MISMATCH', 'An overlay node may only speak for itself.', {
      claimed: peer.name,
      caller: from.name,
    });
  }

  #departed(peer: Peer, params: unknown): void {
    const predecessor = parseOptionalPeer(asRecord(params).predecessor);
    const [next, ...rest] = parsePeers(asRecord(params).successors);
    const state = this.#state;
    if (state.predecessor?.identifier === peer.identifier) state.setPredecessor(predecessor);
    const place = next && next.identifier !== state.self.identifier ? next : undefined;
    if (state.head?.identifier === peer.identifier && place) state.copyList(place, rest);
    state.drop(peer.identifier);
    this.#lost.remove(peer.identifier);
  }

  async #running(contacts: readonly Peer[]): Promise<Peer[]> {
    const answers = await Promise.all(
      contacts.map(async (peer) => {
        const answer = await this.#calls.ping(peer).catch(() => null);
        return answer?.member && answer.formed ? peer : null;
      }),
    );
    return answers.filter((peer) => peer !== null);
  }

  async #joinThrough(running: readonly Peer[], membership: number): Promise<void> {
    const { self } = this.#state;
    // A round of an earlier membership may still be under way; it must not write into this one.
    await this.#round;
    const key = following(self.identifier);
    const source = this.#calls.lookupSource(false, running, [self.identifier], key);
    const { owner, successors } = await new Lookup(key, source).findOwner();
    this.#mustStillJoin(membership);
    this.#enterPhase('member');
    this.#state.copyList(owner, successors);
    this.#schedule(0);
  }

  async #form(others: readonly Peer[], limit: number, membership: number): Promise<void> {
    let missing = others;
    while (missing.length > 0 && this.#options.clock.monotonic() < limit) {
      const up = await Promise.all(
        missing.map(async (peer) => (await this.#calls.ping(peer).catch(() => null))?.member === true),
      );
      missing = missing.filter((_, index) => !up[index]);
      if (this.#membership !== membership) return;
      if (missing.length > 0) await this.#pause(this.#options.busyPeriodMs * 2);
      if (this.#membership !== membership) return;
    }
    if (missing.length > 0) {
      this.#trouble(
        new MoveError('RING_MEMBERS_MISSING', 'The ring starts without some of its first members.', {
          missing: missing.map((peer) => peer.name),
        }),
      );
    }
    this.#phase = 'member';
    this.#changed();
  }

  #enterPhase(phase: 'forming' | 'member'): void {
    this.#membership += 1;
    this.#phase = phase;
  }

  #changed(): void {
    if (this.#phase === 'outside') return;
    this.#busy = busyRounds;
    if (this.#phase === 'member' && !this.#round) this.#schedule(this.#options.busyPeriodMs);
    for (const listener of this.#listeners) listener();
  }

  #schedule(delayMs: number): void {
    this.#cancelTimer();
    const membership = this.#membership;
    this.#cancelTimer = this.#options.clock.after(delayMs, () => {
      if (this.#membership !== membership || this.#round) return;
      this.#round = this.#runRound().finally(() => {
        this.#round = null;
        if (this.#phase === 'member') this.#schedule(this.#nextDelay());
      });
    });
  }

  #nextDelay(): number {
    const { busyPeriodMs, quietPeriodMs, random } = this.#options;
    const period = this.#busy > 0 ? busyPeriodMs : quietPeriodMs;
    return period * (0.9 + random.below(201) / 1000);
  }

  async #runRound(): Promise<void> {
    this.#rounds += 1;
    this.#busy = Math.max(0, this.#busy - 1);
    try {
      await this.#maintenance.stabilise();
      if (this.#rounds % 2 === 0 && this.#phase === 'member') await this.#maintenance.seekLost();
      if (this.#rounds % 3 === 0 && this.#phase === 'member') await this.#maintenance.refreshFinger();
    } catch (thrown) {
      this.#trouble(toMoveError(thrown));
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.after(delayMs, resolve);
    });
  }

  #mustStillJoin(membership: number): void {
    this.#mustBeOutside();
    if (this.#membership === membership) return;
    throw new MoveError('CANCELLED', 'This node was stopped while it was joining the ring.');
  }

  #mustBeOutside(): void {
    if (this.#phase === 'outside') return;
    throw new MoveError('RING_ALREADY_MEMBER', 'This node is a member of the ring already.');
  }

  #mustBeMember(): void {
    if (this.#phase !== 'outside') return;
    throw new MoveError('RING_NOT_MEMBER', `The node ${this.#state.self.name} is not a member of the ring.`, {
      name: this.#state.self.name,
    });
  }
}
