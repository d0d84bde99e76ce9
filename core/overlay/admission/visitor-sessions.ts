import { createHash } from 'node:crypto';
import type { VisitorCredential } from '../../credentials/constrained-authority.ts';
import type { Clock } from '../../runtime/clock.ts';
import { MoveError } from '../../runtime/errors.ts';
import type { Random } from '../../runtime/random.ts';

/** A browser that was admitted without a certificate of its own: the certificate is kept for it. */
export interface VisitorSession {
  credential: VisitorCredential;
  /** The way they were admitted by. */
  method: string;
  address: string;
  /** Milliseconds since the epoch: when the certificate ends. */
  until: number;
}

const secretBytes = 32;
/** Visitors at one time, over all addresses. A session is some 6 KB. */
export const maximumVisitors = 4096;
/** Visitors from one address; the oldest leaves for a new one. */
export const maximumVisitorsPerAddress = 32;

/**
 * The sessions of visitors, by the hash of a random secret that only their browser's cookie holds, so that looking
 * one up tells nothing by how long it takes. In memory, bounded: who is admitted is not driven out by a crowd, who
 * comes later is turned away.
 */
export class VisitorSessions {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #sessions = new Map<string, VisitorSession>();
  /** The same sessions, for whoever holds one and asks whether it still counts. */
  readonly #here = new Set<VisitorSession>();

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Makes sure of room before somebody is admitted. @throws MoveError `TOO_MANY_VISITORS`. */
  makeRoom(address: string): void {
    const now = this.#clock.now();
    for (const [key, { until }] of this.#sessions) if (until <= now) this.#drop(key);
    const own = [...this.#sessions].filter(([, session]) => session.address === address);
    if (own.length >= maximumVisitorsPerAddress) this.#drop(own[0]![0]);
    if (this.#sessions.size < maximumVisitors) return;
    throw new MoveError(
      'TOO_MANY_VISITORS',
      'This access point has as many visitors as it may have. Try again in some minutes, or at another one.',
    );
  }

  /** Begins a session; the secret is for the browser alone. */
  begin(session: VisitorSession): string {
    const secret = this.#random.bytes(secretBytes).toString('base64url');
    this.#sessions.set(hash(secret), session);
    this.#here.add(session);
    return secret;
  }

  /** The session of a secret that is still good; undefined for one that has ended or never was. */
  find(secret: string | undefined): VisitorSession | undefined {
    if (secret === undefined || secret.length > 128) return undefined;
    const session = this.#sessions.get(hash(secret));
    return session && session.until > this.#clock.now() ? session : undefined;
  }

  has(session: VisitorSession): boolean {
    return session.until > this.#clock.now() && this.#here.has(session);
  }

  end(secret: string): void {
    this.#drop(hash(secret));
  }

  /** Ends the sessions that are not welcome any more; returns how many. */
  recheck(isWelcome: (session: VisitorSession) => boolean): number {
    let ended = 0;
    for (const [key, session] of this.#sessions) {
      if (isWelcome(session)) continue;
      this.#drop(key);
      ended += 1;
    }
    return ended;
  }

  /** How many there are now. */
  get size(): number {
    return this.#sessions.size;
  }

  #drop(key: string): void {
    const session = this.#sessions.get(key);
    if (session) this.#here.delete(session);
    this.#sessions.delete(key);
  }
}

function hash(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
