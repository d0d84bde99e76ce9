import { MoveError } from '../runtime/errors.ts';
import type { Identifier } from './identifier.ts';
import { between, closerTo, owns } from './identifier.ts';
import type { Neighbourhood, Peer, StepAnswer } from './messages.ts';

export interface LookupResult {
  owner: Peer;
  /** Members asked on the way that led to the owner, the owner counted, the asker not. */
  hops: number;
  /** The asker first, the owner last. */
  path: Peer[];
  /** The owner's own list of successors, as it gave it. Empty when nobody had to be asked. */
  successors: Peer[];
}

export interface LookupSource {
  /** Where the search starts: one's own knowledge, or none when one is not a member. */
  start: { peer: Peer; answer: StepAnswer } | null;
  /** Members to ask first when there is no own knowledge, or instead of it. */
  contacts: readonly Peer[];
  /** Peers that must not be asked or believed (a joining node's own stale entry). */
  ignore: readonly Identifier[];
  /** `patient` is false on a first try, when a slow member is better passed by. */
  step(peer: Peer, key: Identifier, patient: boolean): Promise<StepAnswer>;
  state(peer: Peer): Promise<Neighbourhood>;
}

interface Answered {
  peer: Peer;
  answer: StepAnswer;
  path: Peer[];
}

/** Upper bound on members asked by one lookup, dead ones counted. */
const lookupCallLimit = 96;

/**
 * One iterative search (Chord §4.3, figure 5, driven by the asker). Fingers only offer members to ask
 * sooner; who owns the key is decided by successor lists alone (Zave 2017, section 2): the closest
 * answering predecessor of the key names the owner, as its first successor that lives.
 */
export class Lookup {
  readonly #key: Identifier;
  readonly #source: LookupSource;
  readonly #answered: Answered[] = [];
  readonly #candidates = new Map<Identifier, { peer: Peer; path: Peer[] }>();
  readonly #gone: Set<Identifier>;
  readonly #slow = new Set<Identifier>();
  readonly #askedAgain = new Set<Identifier>();
  #calls = 0;

  constructor(key: Identifier, source: LookupSource) {
    this.#key = key;
    this.#source = source;
    this.#gone = new Set(source.ignore);
    if (source.start) this.#learn(source.start.peer, source.start.answer, [source.start.peer]);
    for (const peer of source.contacts) {
      if (!this.#gone.has(peer.identifier)) this.#candidates.set(peer.identifier, { peer, path: [] });
    }
  }

  /**
   * The owner of the key, alive when asked, with its neighbours.
   * @throws MoveError `RING_LOOKUP_FAILED` when no member led there.
   */
  async findOwner(): Promise<LookupResult> {
    for (;;) {
      const { from, owners } = await this.#findOwners();
      const found = await this.#confirm(owners[0] as Peer);
      if (found) {
        const path = [...from.path, found.owner];
        return { ...found, path, hops: path.length - 1 };
      }
    }
  }

  /**
   * The owner and the members after it as the owner's predecessor lists them, none of them asked: quick
   * even when some are silent, and as fresh as the last stabilisation.
   * @throws MoveError `RING_LOOKUP_FAILED` when no member led there.
   */
  async findCandidates(): Promise<Peer[]> {
    return (await this.#findOwners()).owners;
  }

  async #findOwners(): Promise<{ from: Answered; owners: Peer[] }> {
    for (;;) {
      const best = this.#closestAnswered();
      const owners = best?.answer.successors.filter((peer) => this.#usable(peer, best.peer)) ?? [];
      if (best && owners[0] && owns(best.peer.identifier, this.#key, owners[0].identifier)) {
        return { from: best, owners };
      }
      if (best && owners.length === 0) this.#askAgain(best);
      await this.#askNext();
    }
  }

  /** Everybody that `answered` listed has failed since: by now it may know better. Once for each member. */
  #askAgain(answered: Answered): void {
    const { peer, path } = answered;
    if (this.#askedAgain.has(peer.identifier) || peer === this.#source.start?.peer) return;
    this.#askedAgain.add(peer.identifier);
    this.#answered.splice(this.#answered.indexOf(answered), 1);
    this.#candidates.set(peer.identifier, { peer, path: path.slice(0, -1) });
  }

  /** Asks the owner itself: it must live, and may know a newer member between its predecessor and the key. */
  async #confirm(candidate: Peer): Promise<{ owner: Peer; successors: Peer[] } | null> {
    let best: { owner: Peer; successors: Peer[] } | null = null;
    let next: Peer | null = candidate;
    while (next && !this.#gone.has(next.identifier)) {
      this.#count();
      let state: Neighbourhood;
      try {
        state = await this.#source.state(next);
      } catch {
        // Not answering is an answer here: the search goes on without this member.
        this.#gone.add(next.identifier);
        break;
      }
      best = { owner: next, successors: state.successors };
      const before: Peer | null = state.predecessor;
      // A predecessor that stands on or after the key owns it instead: a member that joined just now.
      next =
        before && before.identifier !== next.identifier && this.#isBetterOwner(before, next) ? before : null;
    }
    return best;
  }

  #isBetterOwner(candidate: Peer, owner: Peer): boolean {
    if (owner.identifier === this.#key) return false;
    return candidate.identifier === this.#key || between(this.#key, candidate.identifier, owner.identifier);
  }

  async #askNext(): Promise<void> {
    const next = this.#closestCandidate();
    if (!next) {
      throw new MoveError(
        'RING_LOOKUP_FAILED',
        'No member of the ring could lead to the owner of this key. Check that overlay nodes are running.',
        { key: this.#key, asked: this.#calls },
      );
    }
    const { peer, path } = next;
    const patient = this.#slow.has(peer.identifier);
    this.#count();
    try {
      const answer = await this.#source.step(peer, this.#key, patient);
      this.#slow.delete(peer.identifier);
      this.#learn(peer, answer, [...path, peer]);
    } catch {
      // As above; a first try may have failed for haste alone.
      if (patient) this.#gone.add(peer.identifier);
      else this.#slow.add(peer.identifier);
    }
  }

  /**
   * A slow member before the key is passed by, and not one after it: that one may own the key, though it was asked to
   * step in haste, being a contact.
   */
  #usable(peer: Peer, from: Peer): boolean {
    if (this.#gone.has(peer.identifier)) return false;
    return !this.#slow.has(peer.identifier) || !between(from.identifier, peer.identifier, this.#key);
  }

  #count(): void {
    this.#calls += 1;
    if (this.#calls > lookupCallLimit) {
      throw new MoveError('RING_LOOKUP_FAILED', 'The search for a key asked too many members. Try again.', {
        key: this.#key,
        asked: this.#calls,
      });
    }
  }

  #learn(peer: Peer, answer: StepAnswer, path: Peer[]): void {
    this.#candidates.delete(peer.identifier);
    this.#answered.push({ peer, answer, path });
    for (const closer of [...answer.closer, ...answer.successors]) {
      if (this.#gone.has(closer.identifier) || this.#candidates.has(closer.identifier)) continue;
      if (this.#answered.some((known) => known.peer.identifier === closer.identifier)) continue;
      if (between(peer.identifier, closer.identifier, this.#key)) {
        this.#candidates.set(closer.identifier, { peer: closer, path });
      }
    }
  }

  #closestAnswered(): Answered | undefined {
    const closer = closerTo(this.#key);
    return this.#answered.reduce<Answered | undefined>(
      (best, one) => (!best || closer(one.peer.identifier, best.peer.identifier) < 0 ? one : best),
      undefined,
    );
  }

  /** The untried candidate closest to the key; when none is left, one that was too slow the first time. */
  #closestCandidate(): { peer: Peer; path: Peer[] } | undefined {
    const closer = closerTo(this.#key);
    const open = [...this.#candidates.values()].filter(({ peer }) => !this.#gone.has(peer.identifier));
    open.sort((a, b) => closer(a.peer.identifier, b.peer.identifier));
    return open.find(({ peer }) => !this.#slow.has(peer.identifier)) ?? open[0];
  }
}
