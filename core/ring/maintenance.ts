import type { Random } from '../runtime/random.ts';
import type { Contacts } from './contacts.ts';
import { between, fingerStart, following, identifierBits } from './identifier.ts';
import { Lookup } from './lookup.ts';
import type { LostPeers } from './lost-peers.ts';
import type { Neighbourhood, Peer } from './messages.ts';
import type { RingCalls } from './ring-calls.ts';
import type { RoutingState } from './routing-state.ts';

/** One search in so many goes to a contact that is no neighbour, the others to a member that was lost. */
const strangerEvery = 3;

/** The periodic work of one member: stabilise, rectify, look for lost members, refresh fingers. */
export class Maintenance {
  readonly #state: RoutingState;
  readonly #calls: RingCalls;
  readonly #lost: LostPeers;
  readonly #random: Random;
  readonly #isActive: () => boolean;
  readonly #contacts: Contacts;
  #searches = 0;
  #nextFinger: number | null = null;
  #rectifying = false;
  #betterPredecessor: Peer | null = null;

  constructor(
    state: RoutingState,
    calls: RingCalls,
    lost: LostPeers,
    contacts: Contacts,
    random: Random,
    isActive: () => boolean,
  ) {
    this.#state = state;
    this.#calls = calls;
    this.#lost = lost;
    this.#contacts = contacts;
    this.#random = random;
    this.#isActive = isActive;
  }

  /**
   * Stabilisation (Zave 2017, section 4.3): pull the first successor's list and predecessor, copy the list,
   * take the predecessor in between if it lives, and tell the resulting successor. A successor that fails
   * is dropped and the next one asked.
   */
  async stabilise(): Promise<void> {
    const state = this.#state;
    let told: string | undefined;
    for (let turn = 0; turn <= state.length && this.#isActive(); turn += 1) {
      const head = state.head;
      if (!head) {
        if (!state.predecessor) return;
        state.copyList(state.predecessor, []);
        continue;
      }
      const answer = await this.#calls.pullOrFail(head);
      if (!this.#isActive()) return;
      // A departure may have been announced while the question was under way.
      if (state.head?.identifier !== head.identifier) continue;
      if (!answer) {
        this.#lost.add(head);
        state.drop(head.identifier);
        if (state.predecessor?.identifier === head.identifier) state.setPredecessor(null);
        continue;
      }
      state.copyList(head, answer.successors);
      told = answer.predecessor?.identifier === state.self.identifier ? head.identifier : undefined;
      await this.#takeInBetween(answer);
      break;
    }
    const head = state.head;
    if (head && head.identifier !== told && this.#isActive()) await this.#calls.notify(head);
  }

  /**
   * Rectification (Zave 2017, section 4.4): somebody says that it may be our predecessor. A better one is
   * taken at once; another one only when the present predecessor proves dead, which is asked apart.
   */
  considerPredecessor(peer: Peer): void {
    const state = this.#state;
    this.#lost.remove(peer.identifier);
    const present = state.predecessor;
    if (!present || between(present.identifier, peer.identifier, state.self.identifier)) {
      state.setPredecessor(peer);
      return;
    }
    if (present.identifier === peer.identifier) return;
    this.#betterPredecessor = peer;
    if (!this.#rectifying) void this.#checkPredecessor();
  }

  /** Refreshes one finger; the next call refreshes the next (Chord §4.4; never needed for correctness). */
  async refreshFinger(): Promise<void> {
    const state = this.#state;
    if (!state.head) return;
    const lowest = state.powerBeyond(state.head);
    const power = Math.max(this.#nextFinger ?? lowest, lowest);
    if (power >= identifierBits) {
      this.#nextFinger = null;
      return;
    }
    const start = fingerStart(state.self.identifier, power);
    const [owner] = await new Lookup(start, this.#calls.lookupSource(true, [], [], start)).findCandidates();
    if (!owner || !this.#isActive()) return;
    const above = owner.identifier === state.self.identifier ? identifierBits : state.powerBeyond(owner);
    state.setFinger(power, owner, above);
    this.#nextFinger = above;
  }

  /**
   * Asks a lost member (every third time a contact that is no neighbour) where this node belongs. If it lives in another ring,
   * the two rings grow together from here; if it is dead, nothing happens. True when somebody answered.
   */
  async seekLost(): Promise<boolean> {
    const state = this.#state;
    const asked = await Promise.all(
      this.#whomToSeek().map(async (peer) => {
        const ping = await this.#calls.ping(peer).catch(() => null);
        return ping?.member && ping.formed ? peer : null;
      }),
    );
    const contact = asked.find((peer) => peer !== null);
    if (!contact || !this.#isActive()) return false;
    const key = following(state.self.identifier);
    const { owner, successors } = await new Lookup(
      key,
      this.#calls.lookupSource(false, [contact], [], key),
    ).findOwner();
    this.#lost.remove(contact.identifier);
    if (!this.#isActive() || owner.identifier === state.self.identifier) return true;
    if (state.wouldPrecedeHead(owner)) state.copyList(owner, successors);
    await this.#calls.notify(owner);
    return true;
  }

  #whomToSeek(): Peer[] {
    const { head, predecessor, successors } = this.#state;
    const lost = this.#lost.pick(this.#random);
    // Alone, whoever is left will do.
    if (!head) return lost ? [lost, ...this.#contacts.all()] : this.#contacts.all();
    this.#searches += 1;
    // A lost member may be dead, and whoever lives in another ring may never have been met: neither ring need remember
    // the other. Neighbours live in this one.
    const known = new Set(
      [...successors, ...(predecessor ? [predecessor] : [])].map((peer) => peer.identifier),
    );
    const stranger = this.#searches % strangerEvery === 0 ? this.#contacts.next(known) : undefined;
    const chosen = stranger ?? lost;
    return chosen ? [chosen] : [];
  }

  async #takeInBetween({ predecessor }: Neighbourhood): Promise<void> {
    if (!predecessor || !this.#state.wouldPrecedeHead(predecessor)) return;
    const answer = await this.#calls.pullOrFail(predecessor);
    if (!answer || !this.#isActive() || !this.#state.wouldPrecedeHead(predecessor)) return;
    this.#state.copyList(predecessor, answer.successors);
    this.#lost.remove(predecessor.identifier);
  }

  async #checkPredecessor(): Promise<void> {
    this.#rectifying = true;
    const state = this.#state;
    const present = state.predecessor;
    const alive = present ? await this.#calls.pullOrFail(present) : null;
    this.#rectifying = false;
    const better = this.#betterPredecessor;
    this.#betterPredecessor = null;
    if (alive || !this.#isActive() || state.predecessor?.identifier !== present?.identifier) return;
    if (present) this.#lost.add(present);
    state.setPredecessor(better);
  }
}
