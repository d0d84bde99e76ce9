import type { Clock } from '../../runtime/clock.ts';
import type { Random } from '../../runtime/random.ts';

/** What is to be set anew once a browser has cleared everything of an origin. */
export interface Switch {
  service: string;
  /** The secret of a visitor's session, or null for somebody with a certificate. */
  secret: string | null;
  address: string;
}

const lifetimeMs = 60_000;
const maximumTickets = 1024;

/** Tickets that are good once, within a minute, for the address that they were given to. */
export class SwitchTickets {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #tickets = new Map<string, Switch & { until: number }>();

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /** The oldest lapses when too many are out. */
  issue(to: Switch): string {
    const ticket = this.#random.bytes(16).toString('base64url');
    this.#tickets.set(ticket, { ...to, until: this.#clock.monotonic() + lifetimeMs });
    for (const oldest of this.#tickets.keys()) {
      if (this.#tickets.size <= maximumTickets) break;
      this.#tickets.delete(oldest);
    }
    return ticket;
  }

  redeem(ticket: string, address: string): Switch | undefined {
    const found = this.#tickets.get(ticket);
    this.#tickets.delete(ticket);
    return found && found.address === address && found.until > this.#clock.monotonic() ? found : undefined;
  }
}
