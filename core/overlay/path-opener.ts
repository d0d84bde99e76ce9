import type { ServicePath } from '../contract/domain.ts';
import { MoveError } from '../runtime/errors.ts';
import type { Link } from '../runtime/link/link.ts';
import type { LinkStream } from '../runtime/link/link-stream.ts';
import type { LinkPool, LinkTarget } from './link-pool.ts';
import type { LocationRecord } from './location-record.ts';
import { targetOf } from './overlay-peer.ts';
import type { NextNode, RouteStep } from './ring-route.ts';
import { hopLimit } from './ring-route.ts';
import type { ServletChoice } from './servlet-choice.ts';
import type { OpenedPath } from './session-carrier.ts';

export interface PathOpenerOptions {
  pool: LinkPool;
  servlets: ServletChoice;
  /** How the sessions of a service travel; asked for every path. */
  path: (service: string) => ServicePath;
  /** The ring's lookup route to a service's directory node, one step of it. */
  route: (service: string) => RouteStep;
}

/** What travels with a stream on the ring: no node on the way learns where the site is before the last but one. */
export interface RingStream {
  service: string;
  port: number;
  epoch: number;
  /** Hops that are left. */
  hops: number;
}

/** Where a stream was passed on to. */
export interface Onward {
  stream: LinkStream;
  next: NextNode;
}

/**
 * Opens streams to hosting sites by the path policy of each service: from the access point itself, through a
 * servlet (MOVE §3.2), or over the ring to the directory node and on through a servlet that it draws, as
 * MOVE's predecessor SOS routed every packet.
 */
export class PathOpener {
  readonly #options: PathOpenerOptions;

  constructor(options: PathOpenerOptions) {
    this.#options = options;
  }

  /** A stream towards the gateway; whether it is accepted shows in what comes back. @throws MoveError */
  async open(record: LocationRecord, port: number, signal: AbortSignal): Promise<OpenedPath> {
    const { pool, path, route } = this.#options;
    const { service, epoch } = record;
    const { policy, nearest } = path(service);
    if (policy === 'one-hop') {
      const site = siteOf(record);
      const link = pool.peek(site) ?? (await pool.link(site, signal));
      const stream = link.openStreamNow({ kind: 'session', service, epoch, port });
      return { stream, policy, next: null };
    }
    if (policy === 'full-ring') {
      const step = route(service);
      if (!step.owner) {
        const ring = { service, port, epoch, hops: hopLimit };
        return { policy, ...(await this.passOn(step, ring, signal)) };
      }
    }
    return { policy, ...(await this.throughServlet(record, port, { nearest, signal })) };
  }

  /** A stream to the site through a servlet that is drawn here. @throws MoveError */
  async throughServlet(
    record: LocationRecord,
    port: number,
    options: { nearest: number; except?: string; signal?: AbortSignal },
  ): Promise<Onward> {
    const { servlets } = this.#options;
    const { nearest, except, signal } = options;
    const site = siteOf(record);
    const peer = servlets.choose({ site, nearest, ...(except === undefined ? {} : { except }) });
    try {
      const link = await this.#linkTo(targetOf(peer), signal);
      const { service, epoch } = record;
      const where = { site: record.site, address: record.address };
      const stream = link.openStreamNow({ kind: 'servlet', service, ...where, port, epoch });
      this.#passOverOnFailure(stream, peer.name);
      return { stream, next: { node: peer.name, servlet: true } };
    } catch (thrown) {
      if (!signal?.aborted) servlets.passOver(peer.name);
      throw thrown;
    }
  }

  /**
   * A stream to the next node on the ring's route: the first one offered that works, open links first among
   * those that have not failed just now. @throws MoveError `ROUTE_TOO_LONG`, `ROUTE_LOST`, what dialling throws.
   */
  async passOn(
    step: Extract<RouteStep, { owner: false }>,
    ring: RingStream,
    signal?: AbortSignal,
  ): Promise<Onward> {
    const { servlets } = this.#options;
    if (ring.hops < 1)
      throw new MoveError('ROUTE_TOO_LONG', 'The route over the ring has more hops than it may.');
    const usable = step.next.filter((peer) => !servlets.isPassedOver(peer.name));
    let failure: unknown;
    for (const peer of usable.length > 0 ? usable : step.next) {
      try {
        const link = await this.#linkTo(targetOf(peer), signal);
        const stream = link.openStreamNow({ kind: 'ring', ...ring, hops: ring.hops - 1, last: step.last });
        this.#passOverOnFailure(stream, peer.name);
        return { stream, next: { node: peer.name, servlet: false } };
      } catch (thrown) {
        if (signal?.aborted) throw thrown;
        servlets.passOver(peer.name);
        failure = thrown;
      }
    }
    throw failure ?? new MoveError('ROUTE_LOST', 'The ring shows no way on to the directory node.');
  }

  async #linkTo(target: LinkTarget, signal: AbortSignal | undefined): Promise<Link> {
    const { pool } = this.#options;
    return pool.peek(target) ?? (await pool.link(target, signal));
  }

  /** A node that cannot reach what is behind it may be cut off from it; another may not be. */
  #passOverOnFailure(stream: LinkStream, node: string): void {
    stream.accepted.catch((error: MoveError) => {
      if (error.code.startsWith('LINK_') || error.code === 'DEADLINE_EXCEEDED')
        this.#options.servlets.passOver(node);
    });
  }
}

const siteOf = (record: LocationRecord): LinkTarget => ({
  address: record.address,
  role: 'site',
  name: record.site,
});
