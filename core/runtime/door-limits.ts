import { addressGroup } from './address-group.ts';
import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';
import { secureRandom } from './random.ts';
import { TokenBucket } from './token-bucket.ts';

/** What somebody, or everybody together, may ask of a door. */
export interface DoorShare {
  /** Connections that may come in a second, in the long run and at once. */
  perSecond: number;
  burst: number;
  /** Connections that have not shown yet who they are. */
  pending: number;
  /** Connections that have. */
  established: number;
}

export interface DoorLimitOptions {
  /** Of one address: an IPv4 address or the /64 of an IPv6 address. */
  each: DoorShare;
  /** Of all addresses together. */
  whole: DoorShare;
  /** Addresses to remember; a multiple of `whole.burst`. */
  addresses: number;
  /** Milliseconds for which an address stays known after somebody there showed who he is. */
  knownForMs: number;
  /** Addresses that are known without having been here, as those of overlay nodes. */
  isKnown?: (address: string) => boolean;
  clock?: Clock;
}

/**
 * Fit for one process that also carries traffic: a mutual handshake costs it 1 to 2 ms, so strangers can take less than a
 * third of a processor from it, and one address 5 %.
 */
export const defaultDoorLimits: DoorLimitOptions = {
  each: { perSecond: 32, burst: 64, pending: 32, established: 1024 },
  whole: { perSecond: 240, burst: 240, pending: 1024, established: 4096 },
  addresses: 8192,
  knownForMs: 600_000,
};

/** Why a connection was not let in: by the rate, by those that are not finished, by those that are established. */
export type DoorRefusal = 'rate' | 'pending' | 'established';

/** One connection's place at the door. */
export interface DoorPass {
  /** It has shown who it is; false when there is no room among the established. The address is known from now on. */
  establish(): boolean;
  /** It is gone, however it ended. Further calls do nothing. */
  release(): void;
}

/** Who has something leaves this part of what is left to those who have nothing. */
const leftToOthers = 0.5;
/** The part of the whole that strangers leave to known addresses. */
const leftToKnown = 0.25;
/** Milliseconds after which an address that came before is as good as one that never did. */
const forgottenAfterMs = 10_000;
/** Addresses beyond the table share this many entries. */
const crowdSize = 64;

interface Entry {
  group: string;
  bucket: TokenBucket;
  pending: number;
  established: number;
  lastCame: number;
  knownUntil: number;
}

/**
 * Who may come in at a door that anybody can knock at, by address, decided before any work is done for him. Three
 * things are limited, of each address and of all: the rate of connections, those that have not shown who they are, and
 * those that have. So that many addresses cannot shut out others, a quarter is kept for addresses that are known
 * (`isKnown`, or somebody authenticated there not long ago), and of the rest, half for addresses that have not come in the last seconds and hold nothing yet.
 * The table is bounded: an address is forgotten once it would be treated like a new one; if none can be forgotten,
 * further addresses share a few entries, by a secret hash.
 */
export class DoorLimits {
  readonly #options: DoorLimitOptions;
  readonly #clock: Clock;
  readonly #entries = new Map<string, Entry>();
  readonly #known = new Map<string, Entry>();
  readonly #crowd = new Map<number, Entry>();
  readonly #strangersBucket: TokenBucket;
  readonly #knownBucket: TokenBucket;
  readonly #secret = secureRandom.below(2 ** 31);
  #pending = 0;
  #established = 0;

  constructor(options: DoorLimitOptions = defaultDoorLimits) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const { perSecond, burst } = options.whole;
    const share = (part: number) => ({ perSecond: perSecond * part, burst: Math.max(1, burst * part) });
    const now = this.#clock.monotonic();
    this.#strangersBucket = new TokenBucket(share(1 - leftToKnown), now);
    this.#knownBucket = new TokenBucket(share(leftToKnown), now);
  }

  /** What is inside now. */
  get counts(): { pending: number; established: number; addresses: number } {
    return {
      pending: this.#pending,
      established: this.#established,
      addresses: this.#entries.size + this.#known.size + this.#crowd.size,
    };
  }

  /** Takes a connection from `address` in, or says what it would exceed. Constant time, no input or output. */
  admit(address: string | undefined): DoorPass | DoorRefusal {
    const now = this.#clock.monotonic();
    const group = addressGroup(address);
    const { each, whole } = this.#options;
    const entry = this.#entryOf(group, now);
    const known =
      entry.knownUntil > now || (address !== undefined && this.#options.isKnown?.(address) === true);
    if (entry.pending >= each.pending) return 'pending';
    const room = known ? 1 : (1 - leftToKnown) * (entry.pending > 0 ? leftToOthers : 1);
    if (this.#pending >= Math.max(1, whole.pending * room)) return 'pending';
    if (entry.established >= each.established) return 'established';
    const fresh = entry.lastCame < now - forgottenAfterMs;
    if (!entry.bucket.take(now)) return 'rate';
    const taken =
      (known && this.#knownBucket.take(now)) || this.#strangersBucket.take(now, fresh ? 0 : leftToOthers);
    if (!taken) return 'rate';

    entry.lastCame = now;
    this.#remember(entry, now);
    entry.pending += 1;
    this.#pending += 1;
    return this.#pass(entry);
  }

  #pass(entry: Entry): DoorPass {
    const { each, whole } = this.#options;
    let state: 'pending' | 'established' | 'released' = 'pending';
    return {
      establish: () => {
        if (state !== 'pending') return state === 'established';
        if (entry.established >= each.established) return false;
        const room = whole.established * (entry.established > 0 ? 1 - leftToKnown : 1);
        if (this.#established >= Math.max(1, room)) return false;
        state = 'established';
        entry.pending -= 1;
        this.#pending -= 1;
        entry.established += 1;
        this.#established += 1;
        this.#makeKnown(entry);
        return true;
      },
      release: () => {
        if (state === 'pending') {
          entry.pending -= 1;
          this.#pending -= 1;
        } else if (state === 'established') {
          entry.established -= 1;
          this.#established -= 1;
        }
        state = 'released';
      },
    };
  }

  #entryOf(group: string, now: number): Entry {
    const found = this.#known.get(group) ?? this.#entries.get(group);
    if (found) return found;
    if (this.#entries.size < this.#options.addresses || this.#forgetOne(this.#entries, now))
      return this.#newEntry(group, now);
    let hash = this.#secret;
    for (let index = 0; index < group.length; index += 1)
      hash = Math.imul(hash ^ group.charCodeAt(index), 0x01000193);
    const slot = (hash >>> 0) % crowdSize;
    const shared = this.#crowd.get(slot) ?? this.#newEntry(`crowd ${slot}`, now);
    this.#crowd.set(slot, shared);
    return shared;
  }

  #newEntry(group: string, now: number): Entry {
    return {
      group,
      bucket: new TokenBucket(this.#options.each, now),
      pending: 0,
      established: 0,
      lastCame: Number.NEGATIVE_INFINITY,
      knownUntil: 0,
    };
  }

  /** Keeps the entry at the end of its table, where those stand that are forgotten last. */
  #remember(entry: Entry, now: number): void {
    if (entry.group.startsWith('crowd')) return;
    const table = entry.knownUntil > now || entry.established > 0 ? this.#known : this.#entries;
    this.#known.delete(entry.group);
    this.#entries.delete(entry.group);
    table.set(entry.group, entry);
  }

  #makeKnown(entry: Entry): void {
    const now = this.#clock.monotonic();
    if (entry.group.startsWith('crowd')) return;
    const full = !this.#known.has(entry.group) && this.#known.size >= this.#options.addresses;
    if (full && !this.#forgetOne(this.#known, now, true)) return;
    entry.knownUntil = now + this.#options.knownForMs;
    this.#remember(entry, now);
  }

  /** Drops one of the entries that were not used for longest and hold nothing; true when there was one. */
  #forgetOne(table: Map<string, Entry>, now: number, evenKnown = false): boolean {
    let looked = 0;
    for (const [group, entry] of table) {
      if (looked === 8) return false;
      looked += 1;
      const idle = entry.pending + entry.established === 0;
      if (idle && (evenKnown || entry.knownUntil <= now) && entry.lastCame < now - forgottenAfterMs) {
        table.delete(group);
        return true;
      }
      // Looked at again only after all others.
      table.delete(group);
      table.set(group, entry);
    }
    return false;
  }
}
