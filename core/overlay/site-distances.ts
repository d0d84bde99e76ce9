import { z } from 'zod';
import type { Clock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import type { LinkPool, LinkTarget } from './link-pool.ts';
import type { OverlayPeer } from './overlay-peer.ts';
import { targetOf } from './overlay-peer.ts';
import { siteDistanceSchema } from './stream-headers.ts';
import type { StreamRouter } from './stream-router.ts';

/** How long an answer is good for; a link that is used is measured each second. */
const freshMs = 5000;
const deadlineMs = 1000;
const remembered = 4096;

const answerSchema = z.object({ rttMs: z.number().nonnegative().nullable() });

interface Known {
  rttMs: number | undefined;
  askedAt: number;
}

/**
 * How far other overlay nodes are from hosting sites: they tell the round trip of the link that they have to a
 * site, and dial none to find out. Never waits: what is not known yet is asked for and known the next time.
 */
export class SiteDistances {
  readonly #pool: LinkPool;
  readonly #clock: Clock;
  readonly #known = new Map<string, Known>();

  constructor(parts: { pool: LinkPool; router: StreamRouter; clock: Clock }) {
    this.#pool = parts.pool;
    this.#clock = parts.clock;
    parts.router.registerCall({
      method: 'servlet.distance',
      roles: ['overlay'],
      handle: (params) => {
        const asked = siteDistanceSchema.safeParse(params);
        if (!asked.success)
          throw new MoveError('HEADER_INVALID', 'A distance is asked for by the name and address of a site.');
        const { site: name, address } = asked.data;
        return { rttMs: this.#pool.peek({ address, role: 'site', name })?.rttMs ?? null };
      },
    });
  }

  /** Milliseconds there and back between `peer` and the site, when it was last asked. */
  between(peer: OverlayPeer, site: LinkTarget): number | undefined {
    const key = `${peer.name} ${site.name} ${site.address}`;
    const known = this.#known.get(key);
    const now = this.#clock.monotonic();
    if (!known || now - known.askedAt > freshMs) {
      if (!known && this.#known.size >= remembered) this.#known.clear();
      const asked: Known = { rttMs: known?.rttMs, askedAt: now };
      this.#known.set(key, asked);
      void this.#ask(peer, site, asked);
    }
    return known?.rttMs;
  }

  async #ask(peer: OverlayPeer, site: LinkTarget, asked: Known): Promise<void> {
    try {
      const params = { site: site.name, address: site.address };
      const answer = await this.#pool.call(targetOf(peer), 'servlet.distance', params, { deadlineMs });
      asked.rttMs = answerSchema.parse(answer).rttMs ?? asked.rttMs;
    } catch {
      // A node that does not answer has no known distance; whether it works, the next stream through it tells.
      asked.rttMs = undefined;
    }
  }
}
