import { createHash } from 'node:crypto';
import type { Clock } from '../../runtime/clock.ts';
import type { Random } from '../../runtime/random.ts';

const secretBytes = 32;
const maximumTickets = 16;
const maximumSessions = 32;

/** Milliseconds in which a one-time address must be used. */
export const ticketLifetimeMs = 60_000;
/** Milliseconds after its last use when a session ends. */
export const sessionLifetimeMs = 24 * 3600 * 1000;

/**
 * Tickets that are good for one entry within a minute, and the sessions that they were exchanged for.
 * Only hashes are kept, so looking one up tells nothing by how long it takes.
 */
export class SessionBook {
  private readonly clock: Clock;
  private readonly random: Random;
  private readonly tickets = new Map<string, number>();
  private readonly sessions = new Map<string, number>();

  constructor(clock: Clock, random: Random) {
    this.clock = clock;
    this.random = random;
  }

  /** A new ticket. The oldest one lapses when sixteen are out. */
  issueTicket(): string {
    return this.issue(this.tickets, ticketLifetimeMs, maximumTickets);
  }

  /** Exchanges a ticket for a session's secret; null when it was used, has expired or never existed. */
  redeem(ticket: string): string | null {
    const key = hash(ticket);
    const validUntil = this.tickets.get(key);
    this.tickets.delete(key);
    if (validUntil === undefined || validUntil <= this.clock.monotonic()) return null;
    return this.issue(this.sessions, sessionLifetimeMs, maximumSessions);
  }

  /** Whether a session's secret is good; using it keeps the session alive. */
  admits(secret: string | undefined): boolean {
    if (secret === undefined) return false;
    const key = hash(secret);
    const validUntil = this.sessions.get(key);
    if (validUntil === undefined) return false;
    this.sessions.delete(key);
    if (validUntil <= this.clock.monotonic()) return false;
    this.sessions.set(key, this.clock.monotonic() + sessionLifetimeMs);
    return true;
  }

  private issue(book: Map<string, number>, lifetimeMs: number, bound: number): string {
    const secret = this.random.bytes(secretBytes).toString('base64url');
    book.set(hash(secret), this.clock.monotonic() + lifetimeMs);
    for (const oldest of book.keys()) {
      if (book.size <= bound) break;
      book.delete(oldest);
    }
    return secret;
  }
}

function hash(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
