import type { Directory } from '../overlay/directory/directory.ts';
import type { Peer } from '../ring/messages.ts';
import type { RingNode } from '../ring/ring-node.ts';
import type { Clock } from '../runtime/clock.ts';
import { toMoveError } from '../runtime/errors.ts';

export interface RingMembershipOptions {
  ring: RingNode;
  directory: Directory;
  clock: Clock;
  successorListLength: number;
  /** Those that the ring begins with, this node among them. */
  firstMembers: readonly Peer[];
  /** Everybody it can ask for its place, read anew each time: whoever loses every successor at once finds back by them. */
  contacts: () => readonly Peer[];
  log: (line: string) => void;
}

/** How long an orderly departure may take: handing over, and telling the neighbours. */
const departureMs = 1_500;
const enterAgainMs = 250;

/** When a node is on the ring: it enters until it may, and leaves in order. */
export class RingMembership {
  readonly #options: RingMembershipOptions;
  #wanted = true;
  /** Who was on the ring before joins what runs: none answering is a bad line then, and no reason to begin anew. */
  #wasMember = false;

  constructor(options: RingMembershipOptions) {
    this.#options = options;
    const { ring } = options;
    ring.onChange(() => {
      this.#wasMember ||= ring.status().formed;
    });
  }

  /** The first start makes the ring together with all others; a later one joins what runs. Tries until `forgo`. */
  async enter(): Promise<void> {
    const { ring, firstMembers, contacts, clock, log } = this.#options;
    this.#wanted = true;
    while (this.#wanted && !ring.status().member) {
      try {
        if (this.#wasMember) await ring.join(contacts);
        else await ring.enter(firstMembers, contacts);
      } catch (thrown) {
        const error = toMoveError(thrown);
        if (this.#wanted) log(`entering the ring: ${error.message}`);
        if (error.code === 'RING_TOO_SMALL') return;
        await new Promise<void>((resolve) => clock.after(enterAgainMs, resolve));
      }
    }
  }

  /** Ends an `enter` that is under way. A node that is on the ring stays there until `depart`. */
  forgo(): void {
    this.#wanted = false;
    const { ring } = this.#options;
    if (!ring.status().member) ring.stop();
  }

  /** Whether the ring has the members that Zave's rule asks for without this one, as far as it can see. */
  get isDispensable(): boolean {
    const { member, predecessor, successors } = this.#options.ring.status();
    const others = new Set(successors.map(({ identifier }) => identifier));
    if (predecessor) others.add(predecessor.identifier);
    return !member || others.size > this.#options.successorListLength;
  }

  /**
   * Gives the records to those who hold them next, then tells the neighbours. Never fails, and is over after 1.5 s: who
   * was not told notices by himself.
   */
  async depart(): Promise<void> {
    this.forgo();
    const { ring, directory, clock } = this.#options;
    const late = Promise.withResolvers<void>();
    const cancel = clock.after(departureMs, late.resolve);
    await Promise.race([directory.handOver().then(() => ring.leave()), late.promise]);
    cancel();
    ring.stop();
  }
}
