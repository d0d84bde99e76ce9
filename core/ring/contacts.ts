import type { Random } from '../runtime/random.ts';
import type { Identifier } from './identifier.ts';
import type { Peer } from './messages.ts';

/** Overlay nodes that a member may ask for its place: a list, or where the present one can be read at any time. */
export type ContactSource = readonly Peer[] | (() => readonly Peer[]);

/**
 * The overlay nodes that one member knows of, dead or alive, on its ring or on another. The list is read anew each
 * time, since nodes are added while a member waits, joins or is alone.
 */
export class Contacts {
  readonly #self: Identifier;
  readonly #random: Random;
  #source: ContactSource = [];
  /** Those still to be asked in this turn, in an order by chance. */
  #deck: Identifier[] = [];

  constructor(self: Identifier, random: Random) {
    this.#self = self;
    this.#random = random;
  }

  set source(source: ContactSource) {
    this.#source = source;
  }

  /** All of them but this node itself. */
  all(): Peer[] {
    const peers = typeof this.#source === 'function' ? this.#source() : this.#source;
    return peers.filter((peer) => peer.identifier !== this.#self);
  }

  /**
   * The next of them that is not in `known`; each once before any comes again, so that whoever lives elsewhere is
   * asked within as many calls as there are others. Nothing when all are known.
   */
  next(known: ReadonlySet<Identifier>): Peer | undefined {
    const strangers = new Map<Identifier, Peer>();
    for (const peer of this.all()) if (!known.has(peer.identifier)) strangers.set(peer.identifier, peer);
    if (strangers.size === 0) return undefined;
    for (;;) {
      if (this.#deck.length === 0) this.#deck = this.#shuffle([...strangers.keys()]);
      const peer = strangers.get(this.#deck.pop() as Identifier);
      if (peer) return peer;
    }
  }

  #shuffle(identifiers: Identifier[]): Identifier[] {
    for (let last = identifiers.length - 1; last > 0; last -= 1) {
      const other = this.#random.below(last + 1);
      const moved = identifiers[last] as Identifier;
      identifiers[last] = identifiers[other] as Identifier;
      identifiers[other] = moved;
    }
    return identifiers;
  }
}
