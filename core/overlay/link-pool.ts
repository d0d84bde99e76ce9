import type { Clock } from '../runtime/clock.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import type { Link, LinkHandlers, LinkLimits } from '../runtime/link/link.ts';
import type { LinkIdentity } from '../runtime/link/link-tls.ts';
import { connectLink } from '../runtime/link/link-tls.ts';
import type { Authorise, OverlayIdentity } from './identity.ts';
import type { OverlayEvents } from './overlay-event.ts';
import { notePeer } from './overlay-event.ts';

/** Whom to reach, and whom its certificate must name. */
export interface LinkTarget {
  /** `host:port` */
  address: string;
  role: string;
  /** When given, the certificate must carry this very name. */
  name?: string;
}

export interface LinkPoolOptions {
  identity: () => LinkIdentity;
  authorise: Authorise;
  events: OverlayEvents;
  clock: Clock;
  /** What the far ends may ask over links that this end dialled. */
  handlers?: LinkHandlers;
  limits?: Partial<LinkLimits>;
  dialDeadlineMs?: number;
  /** Milliseconds without a stream after which a link that nobody keeps warm is closed. */
  idleMs?: number;
  maxLinks?: number;
}

interface Entry {
  dialling: Promise<Link> | undefined;
  link: Link | undefined;
  lastUsed: number;
}

const redialMinMs = 250;
const redialMaxMs = 5000;
const sweepMs = 10_000;

/** Splits `host:port` or `[v6]:port`. @throws MoveError `ADDRESS_INVALID`. */
export function splitAddress(address: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (!match || port < 1 || port > 65_535) {
    throw new MoveError(
      'ADDRESS_INVALID',
      `"${address.slice(0, 100)}" is not an address of the form host:port.`,
    );
  }
  return { host: match[1] ?? match[2]!, port };
}

/**
 * The links that this host dials, one a target. Simultaneous requests share one handshake; links asked to be
 * kept warm are redialled when they die, others are closed when idle.
 */
export class LinkPool {
  readonly #options: LinkPoolOptions;
  readonly #entries = new Map<string, Entry>();
  #warm = new Map<string, { target: LinkTarget; cancel: (() => void) | undefined; delayMs: number }>();
  #cancelSweep: () => void;
  #closed = false;

  constructor(options: LinkPoolOptions) {
    this.#options = options;
    this.#cancelSweep = options.clock.after(sweepMs, () => this.#sweep());
  }

  /** An open link to the target, or undefined: never dials. */
  peek(target: LinkTarget): Link | undefined {
    const link = this.#entries.get(keyOf(target))?.link;
    return link?.isOpen ? link : undefined;
  }

  /** The links open now. */
  get links(): Link[] {
    return [...this.#entries.values()].flatMap((entry) => (entry.link?.isOpen ? [entry.link] : []));
  }

  /**
   * An open link to the target, dialled if need be. `signal` ends the waiting, not the dialling.
   * @throws MoveError `LINK_UNREACHABLE`, `PEER_MISMATCH`, `DEADLINE_EXCEEDED`, `CANCELLED`, the peer's own.
   */
  async link(target: LinkTarget, signal?: AbortSignal): Promise<Link> {
    if (this.#closed) throw new MoveError('LINK_CLOSED', 'This host is shutting down.');
    const key = keyOf(target);
    let entry = this.#entries.get(key);
    if (!entry) {
      if (this.#entries.size >= (this.#options.maxLinks ?? 1024)) {
        throw new MoveError('TOO_MANY_LINKS', 'This host keeps as many links as it may.');
      }
      entry = { dialling: undefined, link: undefined, lastUsed: 0 };
      this.#entries.set(key, entry);
    }
    entry.lastUsed = this.#options.clock.monotonic();
    if (entry.link?.isOpen) return entry.link;
    entry.dialling ??= this.#dial(key, entry, target);
    return signal ? abortable(entry.dialling, signal) : entry.dialling;
  }

  /** Calls a method at the target over its link. The deadline covers dialling too. @throws MoveError */
  async call(
    target: LinkTarget,
    method: string,
    params: unknown,
    options: { deadlineMs: number },
  ): Promise<unknown> {
    const begun = this.#options.clock.monotonic();
    const link = this.peek(target) ?? (await this.link(target, AbortSignal.timeout(options.deadlineMs)));
    const left = options.deadlineMs - (this.#options.clock.monotonic() - begun);
    return link.call(method, params, { deadlineMs: Math.max(1, left) });
  }

  /** Keeps links to exactly these targets open, redialling with a growing pause while they cannot be had. */
  keepWarm(targets: readonly LinkTarget[]): void {
    if (this.#closed) return;
    const wanted = new Map(targets.map((target) => [keyOf(target), target]));
    for (const [key, warm] of this.#warm) {
      if (wanted.has(key)) continue;
      warm.cancel?.();
      this.#warm.delete(key);
    }
    for (const [key, target] of wanted) {
      if (this.#warm.has(key)) continue;
      this.#warm.set(key, { target, cancel: undefined, delayMs: redialMinMs });
      this.#warmUp(key);
    }
  }

  /** Closes links whose far end `unwelcome` objects to; returns how many. */
  cut(unwelcome: (link: Link) => MoveError | undefined): number {
    let count = 0;
    for (const link of this.links) {
      const error = unwelcome(link);
      if (!error) continue;
      link.close(error);
      count += 1;
    }
    return count;
  }

  close(): void {
    this.#closed = true;
    this.#cancelSweep();
    for (const warm of this.#warm.values()) warm.cancel?.();
    this.#warm.clear();
    for (const link of this.links) link.close();
    this.#entries.clear();
  }

  async #dial(key: string, entry: Entry, target: LinkTarget): Promise<Link> {
    const options = this.#options;
    let identity: OverlayIdentity | undefined;
    try {
      const link = await connectLink({
        transport: splitAddress(target.address),
        identity: options.identity(),
        verifyPeer: (certificate, from) => {
          identity = options.authorise(certificate, from);
          if (identity.role !== target.role || (target.name !== undefined && identity.name !== target.name)) {
            throw new MoveError(
              'PEER_MISMATCH',
              `${target.address} answered as ${identity.role} ${identity.name}, not as ${target.role} ${target.name ?? ''}.`,
            );
          }
        },
        deadlineMs: options.dialDeadlineMs ?? 3000,
        clock: options.clock,
        ...(options.handlers ? { handlers: options.handlers } : {}),
        ...(options.limits ? { limits: options.limits } : {}),
      });
      if (this.#closed) {
        link.close();
        throw new MoveError('LINK_CLOSED', 'This host is shutting down.');
      }
      entry.link = link;
      const peer = notePeer(identity, target.address);
      options.events({ type: 'link-opened', peer, direction: 'out' });
      void link.closed.then((error) => {
        if (this.#entries.get(key) === entry && entry.link === link) {
          entry.link = undefined;
          if (!entry.dialling) this.#entries.delete(key);
        }
        options.events({
          type: 'link-closed',
          peer,
          direction: 'out',
          ...(error ? { code: error.code } : {}),
        });
        this.#warmUp(key);
      });
      return link;
    } finally {
      entry.dialling = undefined;
      if (!entry.link && this.#entries.get(key) === entry) this.#entries.delete(key);
    }
  }

  #warmUp(key: string): void {
    const warm = this.#warm.get(key);
    if (!warm || warm.cancel || this.#closed) return;
    this.link(warm.target).then(
      () => {
        warm.delayMs = redialMinMs;
      },
      () => {
        // The next attempt is the answer to a failed one; who needs the link now is told by link().
        if (this.#warm.get(key) !== warm || this.#closed) return;
        warm.cancel = this.#options.clock.after(warm.delayMs, () => {
          warm.cancel = undefined;
          warm.delayMs = Math.min(warm.delayMs * 2, redialMaxMs);
          this.#warmUp(key);
        });
      },
    );
  }

  #sweep(): void {
    const now = this.#options.clock.monotonic();
    const idleMs = this.#options.idleMs ?? 60_000;
    for (const [key, entry] of this.#entries) {
      if (!entry.link || entry.dialling || this.#warm.has(key)) continue;
      if (entry.link.streamCount > 0) entry.lastUsed = now;
      else if (now - entry.lastUsed > idleMs) entry.link.close();
    }
    this.#cancelSweep = this.#options.clock.after(sweepMs, () => this.#sweep());
  }
}

const keyOf = (target: LinkTarget): string => `${target.role} ${target.name ?? '*'} ${target.address}`;

function abortable<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(new MoveError('CANCELLED', 'Waiting for a link was given up.'));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    promise
      .then(resolve, (thrown) => reject(toMoveError(thrown)))
      .finally(() => signal.removeEventListener('abort', onAbort));
  });
}
