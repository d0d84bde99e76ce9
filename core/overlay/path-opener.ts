import type { Clock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import type { Random } from '../runtime/random.ts';
import type { LinkPool, LinkTarget } from './link-pool.ts';
import type { LocationRecord } from './location-record.ts';
import type { OpenedPath } from './session-carrier.ts';

/** Access point to site directly, or through a random servlet (the default). */
export type PathPolicy = 'one-hop' | 'two-hop';

/** An overlay node as its fellows know it. */
export interface OverlayPeer {
  name: string;
  /** `host:port` */
  address: string;
}

export interface PathOpenerOptions {
  /** This node's own name: it is never its own servlet. */
  name: string;
  peers: () => readonly OverlayPeer[];
  pool: LinkPool;
  policy: (service: string) => PathPolicy;
  random: Random;
  clock: Clock;
}

/** How long a servlet that failed is passed over. */
const avoidMs = 2000;

/** Opens streams to hosting sites by the path policy of each service (MOVE §3.2). */
export class PathOpener {
  readonly #options: PathOpenerOptions;
  readonly #avoid = new Map<string, number>();

  constructor(options: PathOpenerOptions) {
    this.#options = options;
  }

  /** A stream towards the gateway; whether it is accepted shows in what comes back. @throws MoveError */
  async open(record: LocationRecord, port: number, signal: AbortSignal): Promise<OpenedPath> {
    const { pool, policy } = this.#options;
    if (policy(record.service) === 'one-hop') {
      const site = { address: record.address, role: 'site', name: record.site };
      const link = pool.peek(site) ?? (await pool.link(site, signal));
      const header = { kind: 'session', service: record.service, epoch: record.epoch, port };
      return { stream: link.openStreamNow(header), servlet: undefined };
    }
    const peer = this.#chooseServlet();
    const target: LinkTarget = { address: peer.address, role: 'overlay', name: peer.name };
    try {
      const link = pool.peek(target) ?? (await pool.link(target, signal));
      const stream = link.openStreamNow({
        kind: 'servlet',
        service: record.service,
        site: record.site,
        address: record.address,
        port,
        epoch: record.epoch,
      });
      stream.accepted.catch((error: MoveError) => {
        // A servlet that cannot reach the site may be cut off from it; another may not be.
        if (error.code.startsWith('LINK_') || error.code === 'DEADLINE_EXCEEDED') this.#passOver(peer.name);
      });
      return { stream, servlet: peer.name };
    } catch (thrown) {
      if (!signal.aborted) this.#passOver(peer.name);
      throw thrown;
    }
  }

  /** Random among the nodes that a link is open to; if there are none, among all. */
  #chooseServlet(): OverlayPeer {
    const { peers, name, pool, random } = this.#options;
    const others = peers().filter((peer) => peer.name !== name);
    if (others.length === 0) {
      throw new MoveError('NO_SERVLET', 'This access point knows no other overlay node to use as a servlet.');
    }
    const usable = others.filter((peer) => !this.#isPassedOver(peer.name));
    const warm = usable.filter((peer) =>
      pool.peek({ address: peer.address, role: 'overlay', name: peer.name }),
    );
    const candidates = warm.length > 0 ? warm : usable.length > 0 ? usable : others;
    return candidates[random.below(candidates.length)]!;
  }

  #passOver(servlet: string): void {
    this.#avoid.set(servlet, this.#options.clock.monotonic() + avoidMs);
  }

  #isPassedOver(servlet: string): boolean {
    const until = this.#avoid.get(servlet);
    if (until === undefined) return false;
    if (until > this.#options.clock.monotonic()) return true;
    this.#avoid.delete(servlet);
    return false;
  }
}
