import type { ListedNode } from '../../contract/node-list.ts';
import type { Clock } from '../../runtime/clock.ts';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import type { Link, LinkHandlers } from '../../runtime/link/link.ts';
import type { LinkStream } from '../../runtime/link/link-stream.ts';
import type { LinkIdentity } from '../../runtime/link/link-tls.ts';
import { connectLink } from '../../runtime/link/link-tls.ts';
import type { Authorise } from '../identity.ts';
import { splitAddress } from '../link-pool.ts';
import { dialFirst } from './dial-first.ts';
import type { ForwarderEvents } from './forwarder-event.ts';
import { LinkVigil } from './link-vigil.ts';
import type { Opened } from './way.ts';

export interface AccessPointsOptions {
  identity: LinkIdentity;
  /** `host:port` of each access point that was named, in order of preference. */
  named: readonly string[];
  /** Those of the signed list, which come after. */
  listed: () => readonly ListedNode[];
  /** The only access point that the certificate may enter by, if it is bound to one. */
  boundTo?: string | undefined;
  authorise: Authorise;
  events: ForwarderEvents;
  clock: Clock;
  /** What access points may tell over the link. */
  handlers?: LinkHandlers;
  /** Called with each link that is used from now on. */
  onActive?: (link: Link) => void;
  dialDeadlineMs?: number;
}

/** What of connections is no good any more: those over a link that was left, or that fell silent. */
export interface LeftLink {
  link: Link;
  /** Whether nothing more can be expected of it, so that what waits for an answer should ask elsewhere. */
  isSilent: boolean;
}

interface Held {
  link: Link;
  address: string;
  name: string;
  vigil: LinkVigil;
  /** Streams that the access point has not accepted yet. */
  unaccepted: Set<LinkStream>;
}

const redialMinMs = 100;
const redialMaxMs = 2_000;
const standbyAgainMs = 1_000;
const standbyAgainMaxMs = 30_000;

/**
 * Keeps a warm link to an access point and, as a standby, one to a second, so that a change costs no handshake. A link that
 * broke is replaced at once; one that falls silent while it is used, after half a second: what is new goes to
 * the standby then, and what is open stays where it is until that link is dead or heard again. A certificate
 * bound to one access point stays there.
 */
export class AccessPoints {
  readonly #options: AccessPointsOptions;
  #identity: LinkIdentity;
  #active: Held | undefined;
  #standby: Held | undefined;
  readonly #resting = new Set<Held>();
  readonly #failedAt = new Map<string, number>();
  readonly #places = new Map<string, number>();
  readonly #waiting = new Set<(held: Held) => void>();
  readonly #leaving = new Set<(left: LeftLink) => void>();
  #dialling = false;
  #standbyDialling = false;
  #standbyDelayMs = standbyAgainMs;
  #cancelRedial: () => void = () => undefined;
  #cancelStandby: () => void = () => undefined;
  #closed = false;
  readonly #abort = new AbortController();

  constructor(options: AccessPointsOptions) {
    this.#options = options;
    this.#identity = options.identity;
  }

  /** Where the link that is used goes. */
  get accessPoint(): { name: string; address: string } | undefined {
    return describe(this.#active);
  }

  /** Where the link that stands by goes. */
  get standby(): { name: string; address: string } | undefined {
    return describe(this.#standby);
  }

  /** Tries the access points until one answers. @throws MoveError the most telling error of those tried. */
  async start(): Promise<void> {
    this.#use(await this.#dialAny());
  }

  /** Calls back when connections over a link should not be used for anything new any more. */
  onLeft(listener: (left: LeftLink) => void): void {
    this.#leaving.add(listener);
  }

  /** A stream to a service; bytes may flow before it is accepted. @throws MoveError `ACCESS_POINT_LOST`. */
  async open(service: string, port: number, deadlineMs: number): Promise<Opened & { stream: LinkStream }> {
    const held = this.#active?.link.isOpen ? this.#active : await this.#wait(deadlineMs);
    const stream = held.link.openStreamNow({ kind: 'service', service, port });
    held.unaccepted.add(stream);
    const settled = () => void held.unaccepted.delete(stream);
    stream.accepted.then(settled, (error: MoveError) => {
      settled();
      if (error.code === 'STREAM_ABORTED' || isLostWithAccessPoint(error)) return;
      this.#options.events({ type: 'refused', service, code: error.code, message: error.message });
    });
    return { stream, accepted: stream.accepted, way: 'overlay', link: held.link };
  }

  /** Asks the access point that is used. @throws MoveError the access point's own, `ACCESS_POINT_LOST`. */
  async call(method: string, params: unknown, deadlineMs: number): Promise<unknown> {
    const held = this.#active?.link.isOpen ? this.#active : await this.#wait(deadlineMs);
    return held.link.call(method, params, { deadlineMs });
  }

  /** Enters with a renewed certificate from now on; what is open on the old links may end there. */
  async useIdentity(identity: LinkIdentity): Promise<void> {
    this.#identity = identity;
    const before = this.#active;
    this.#standby?.link.close();
    this.#standby = undefined;
    const next = await this.#dialAny();
    if (this.#closed) next.link.close();
    else {
      this.#use(next);
      if (before && before !== next) this.#rest(before, false);
    }
  }

  /** Judges the access points that are used or stand by again; whoever is not believed any more is left at once. */
  recheck(): void {
    for (const held of [this.#active, this.#standby, ...this.#resting]) held?.link.recheck();
  }

  /** Keeps a standby, for example because more nodes are known now. */
  wantStandby(): void {
    if (this.#closed || this.#standby || this.#standbyDialling || !this.#active) return;
    const addresses = this.#candidates(this.#active);
    if (this.#options.boundTo !== undefined || addresses.length === 0) return;
    this.#cancelStandby();
    this.#standbyDialling = true;
    dialFirst({
      addresses,
      dial: async (address, signal) => {
        const held = await this.#dial(address, signal);
        // Another address of the node that is used already is no way out when that one dies.
        if (held.name !== this.#active?.name) return held;
        held.link.close();
        throw new MoveError('ACCESS_POINT_MISSING', `${address} is the access point that is used already.`);
      },
      letGo: (held) => held.link.close(),
      clock: this.#options.clock,
    }).then(
      (held) => {
        this.#standbyDialling = false;
        this.#standbyDelayMs = standbyAgainMs;
        if (this.#closed || this.#standby || held === this.#active) held.link.close();
        else if (!this.#active?.link.isOpen || this.#active.vigil.isSuspect) this.#replace(held);
        else {
          this.#standby = held;
          this.#options.events({ type: 'standby', address: held.address, accessPoint: held.name });
        }
      },
      () => {
        // Without one everything goes on; it is tried again, more and more seldom.
        this.#standbyDialling = false;
        if (this.#closed) return;
        this.#cancelStandby = this.#options.clock.after(this.#standbyDelayMs, () => this.wantStandby());
        this.#standbyDelayMs = Math.min(this.#standbyDelayMs * 2, standbyAgainMaxMs);
      },
    );
  }

  close(): void {
    this.#closed = true;
    this.#cancelRedial();
    this.#cancelStandby();
    this.#abort.abort();
    for (const held of [this.#active, this.#standby, ...this.#resting]) {
      held?.vigil.stop();
      held?.link.close();
    }
  }

  // ---- which link is used ----

  #use(held: Held): void {
    this.#active = held;
    const standby = this.#standby;
    // A node that was dialled anew while its own link stood by is no way out when it dies.
    if (standby?.name === held.name) {
      this.#standby = undefined;
      if (standby !== held) standby.link.close();
    }
    this.#options.events({ type: 'connected', address: held.address, accessPoint: held.name });
    for (const settle of [...this.#waiting]) settle(held);
    this.#options.onActive?.(held.link);
    this.wantStandby();
  }

  /** Another link takes over; the one before, if it is still there, gets nothing new. */
  #replace(next: Held): void {
    const before = this.#active;
    this.#use(next);
    if (before && before !== next) this.#rest(before, before.vigil.isSuspect || !before.link.isOpen);
  }

  #rest(held: Held, isSilent: boolean): void {
    if (held.link.isOpen) this.#resting.add(held);
    if (isSilent)
      for (const stream of [...held.unaccepted])
        stream.reset(new MoveError('ACCESS_POINT_LOST', `The access point ${held.name} does not answer.`));
    for (const leave of this.#leaving) leave({ link: held.link, isSilent });
  }

  #promote(): void {
    const standby = this.#standby;
    if (standby?.link.isOpen && !standby.vigil.isSuspect && !standby.vigil.isInDoubt) this.#replace(standby);
    else this.#redial(0, redialMinMs);
  }

  #redial(delayMs: number, nextDelayMs: number): void {
    if (this.#closed || this.#dialling) return;
    this.#dialling = true;
    this.#cancelRedial = this.#options.clock.after(delayMs, () => {
      const before = this.#active;
      this.#dialAny(before).then(
        (held) => {
          this.#dialling = false;
          const isNeeded = !this.#active?.link.isOpen || this.#active.vigil.isSuspect;
          if (this.#closed || !isNeeded) held.link.close();
          else this.#replace(held);
        },
        () => {
          // What went wrong has been told as an event; the next attempt is the answer.
          this.#dialling = false;
          if (!this.#active?.link.isOpen || this.#active.vigil.isSuspect)
            this.#redial(nextDelayMs, Math.min(nextDelayMs * 2, redialMaxMs));
        },
      );
    });
  }

  // ---- dialling ----

  /** Known addresses, those that failed lately last; without what `but` stands for while there is anything else. */
  #candidates(but?: Held): string[] {
    const { named, listed, boundTo } = this.#options;
    const nodes = listed().filter(({ name }) => boundTo === undefined || name === boundTo);
    // Clients spread over the list, each in an order of its own that stays the same.
    const place = (address: string) => {
      if (!this.#places.has(address)) this.#places.set(address, Math.random());
      return this.#places.get(address)!;
    };
    const spread = nodes
      .filter(({ name }) => name !== but?.name)
      .map(({ address }) => address)
      .sort((one, other) => place(one) - place(other));
    const failedAt = (address: string) => this.#failedAt.get(address) ?? 0;
    return [...new Set([...named, ...spread])]
      .filter((address) => address !== but?.address)
      .sort((one, other) => failedAt(one) - failedAt(other));
  }

  async #dialAny(but?: Held): Promise<Held> {
    const others = this.#candidates(but);
    return dialFirst({
      addresses: others.length > 0 ? others : this.#candidates(),
      dial: async (address, signal) => {
        this.#options.events({ type: 'connecting', address });
        try {
          return await this.#dial(address, signal);
        } catch (thrown) {
          const { code, message } = toMoveError(thrown);
          if (!this.#closed && !signal.aborted)
            this.#options.events({ type: 'lost', address, code, message });
          throw thrown;
        }
      },
      letGo: (held) => held.link.close(),
      clock: this.#options.clock,
    });
  }

  async #dial(address: string, signal: AbortSignal): Promise<Held> {
    const { authorise, clock, boundTo, handlers } = this.#options;
    let name = '';
    let link: Link;
    try {
      link = await connectLink({
        transport: splitAddress(address),
        identity: this.#identity,
        verifyPeer: (certificate, from) => {
          const identity = authorise(certificate, from);
          if (identity.role !== 'overlay')
            throw new MoveError('PEER_MISMATCH', `${address} is not an access point but a ${identity.role}.`);
          // Who names only one is told by that access point itself, which also notes it.
          if (boundTo !== undefined && identity.name !== boundTo && this.#candidates().length > 1)
            throw new MoveError(
              'ACCESS_POINT_DENIED',
              `Your certificate is bound to the access point ${boundTo}, and ${address} is ${identity.name}.`,
            );
          name = identity.name;
        },
        deadlineMs: this.#options.dialDeadlineMs ?? 4_000,
        signal: AbortSignal.any([signal, this.#abort.signal]),
        clock,
        ...(handlers ? { handlers } : {}),
      });
    } catch (thrown) {
      if (!signal.aborted) this.#failedAt.set(address, clock.now());
      throw thrown;
    }
    const held: Held = {
      link,
      address,
      name,
      unaccepted: new Set(),
      vigil: this.#vigilOver(link, () => held),
    };
    void link.closed.then((error) => this.#onClosed(held, error));
    return held;
  }

  #vigilOver(link: Link, held: () => Held): LinkVigil {
    return new LinkVigil({
      link,
      clock: this.#options.clock,
      // Whether the standby would do is known by the time it is needed.
      doubted: () => {
        if (this.#active === held()) this.#standby?.vigil.ask();
      },
      suspected: () => {
        const { address, name } = held();
        this.#failedAt.set(address, this.#options.clock.now());
        if (this.#active !== held()) return;
        this.#options.events({ type: 'silent', address, accessPoint: name });
        this.#promote();
      },
      recovered: () => undefined,
      // One that was left is closed when nothing is open on it any more.
      looked: () => {
        if (this.#resting.has(held()) && link.streamCount === 0) link.close();
      },
    });
  }

  #onClosed(held: Held, error: MoveError | undefined): void {
    held.vigil.stop();
    this.#resting.delete(held);
    if (this.#closed) return;
    if (this.#standby === held) {
      this.#standby = undefined;
      this.#failedAt.set(held.address, this.#options.clock.now());
      this.#cancelStandby = this.#options.clock.after(standbyAgainMs, () => this.wantStandby());
    }
    if (this.#active !== held) return;
    this.#failedAt.set(held.address, this.#options.clock.now());
    const reason = error ?? new MoveError('LINK_CLOSED', 'The access point closed the link.');
    this.#options.events({ type: 'lost', address: held.address, code: reason.code, message: reason.message });
    this.#promote();
  }

  #wait(deadlineMs: number): Promise<Held> {
    return new Promise((resolve, reject) => {
      const settle = (held: Held) => {
        cancel();
        this.#waiting.delete(settle);
        resolve(held);
      };
      const cancel = this.#options.clock.after(deadlineMs, () => {
        this.#waiting.delete(settle);
        reject(new MoveError('ACCESS_POINT_LOST', 'No access point answers; trying again by itself.'));
      });
      this.#waiting.add(settle);
    });
  }
}

const lostCodes = new Set(['ACCESS_POINT_LOST', 'LINK_BROKEN', 'LINK_DEAD', 'LINK_CLOSED']);

/** Whether a connection ended because the access point that carried it did, and not by the service's doing. */
export const isLostWithAccessPoint = (error: unknown): boolean =>
  error instanceof MoveError && lostCodes.has(error.code);

const describe = (held: Held | undefined): { name: string; address: string } | undefined =>
  held?.link.isOpen ? { name: held.name, address: held.address } : undefined;
