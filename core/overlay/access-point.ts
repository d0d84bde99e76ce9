import type { Duplex } from 'node:stream';
import type { z } from 'zod';
import type { PathPolicy } from '../contract/domain.ts';
import type { Clock } from '../runtime/clock.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import type { Random } from '../runtime/random.ts';
import { TokenBucket } from '../runtime/token-bucket.ts';
import type { BufferBudgetOptions } from './buffer-budget.ts';
import { BufferBudget, defaultBufferBudget } from './buffer-budget.ts';
import type { OverlayIdentity } from './identity.ts';
import { mayReach } from './identity.ts';
import { joinStreams } from './join-streams.ts';
import type { LocationRecord } from './location-record.ts';
import type { OverlayEvents } from './overlay-event.ts';
import type { PathOpener } from './path-opener.ts';
import type { NextNode } from './ring-route.ts';
import type { ServiceWatch } from './service-watch.ts';
import { ResumableSession } from './session/resumable-session.ts';
import type { OpenedPath } from './session-carrier.ts';
import { SessionCarrier } from './session-carrier.ts';
import { serviceHeaderSchema } from './stream-headers.ts';
import type { StreamRequest, StreamRouter } from './stream-router.ts';

export interface AccessPointOptions {
  /** This node's name, to which client certificates may be bound. */
  name: string;
  router: StreamRouter;
  watch: ServiceWatch;
  paths: PathOpener;
  events: OverlayEvents;
  clock: Clock;
  random: Random;
  parkDeadlineMs?: number;
  attachDeadlineMs?: number;
  maxSessions?: number;
  maxSessionsPerClient?: number;
  /** Sessions that one certificate may begin in a second, in the long run and at once. */
  sessionRate?: { perSecond: number; burst: number };
  /** What may wait in memory for readers that do not read. */
  buffers?: Partial<BufferBudgetOptions>;
}

/** A session costs an access point about 0.5 ms: one certificate so takes at most a fifth of a processor by opening. */
const defaultSessionRate = { perSecond: 400, burst: 4000 };
/** What it costs beside: given up before it was answered, which is cheap for the client only; cut, because it was not read. */
const extraTokens = { givenUp: 16, cut: 64 };
const clientsAtMost = 8192;

interface ClientUse {
  sessions: number;
  bucket: TokenBucket;
}

export interface SessionStatus {
  service: string;
  client: string;
  state: string;
  site: string | undefined;
  /** How the session travels, and where it goes from here; null for the site itself. */
  policy: PathPolicy | undefined;
  next: NextNode | null | undefined;
  epoch: number | undefined;
  upBytes: number;
  downBytes: number;
  resumes: number;
}

interface Carried {
  session: ResumableSession;
  service: string;
  client: OverlayIdentity;
  record: LocationRecord | undefined;
  path: OpenedPath | undefined;
}

const pathsRemembered = 256;

type ServiceRequest = StreamRequest<z.infer<typeof serviceHeaderSchema>>;

/**
 * The role that clients meet: admits them by what their certificates allow, finds the service, and carries
 * each of their connections as a session that survives a move of the service (MOVE §3.2).
 */
export class AccessPoint {
  readonly #options: AccessPointOptions;
  readonly #carried = new Set<Carried>();
  readonly #perClient = new Map<string, ClientUse>();
  readonly #buffers: BufferBudget;
  readonly #paths = new Map<string, { policy: PathPolicy; next: NextNode | null }>();

  constructor(options: AccessPointOptions) {
    this.#options = options;
    this.#buffers = new BufferBudget({ ...defaultBufferBudget, clock: options.clock, ...options.buffers });
    options.router.registerStream<z.infer<typeof serviceHeaderSchema>>({
      kind: 'service',
      roles: ['client'],
      schema: serviceHeaderSchema,
      where: 'access-point',
      handle: (request) => this.#serve(request),
    });
  }

  /** The sessions carried now. */
  sessions(): SessionStatus[] {
    return [...this.#carried].map(({ session, service, client, record, path }) => ({
      service,
      client: client.name,
      state: session.state,
      site: record?.site,
      policy: path?.policy,
      next: path?.next,
      epoch: record?.epoch,
      upBytes: session.counters.upBytes,
      downBytes: session.counters.downBytes,
      resumes: session.counters.resumes,
    }));
  }

  /** The newest path of each service. */
  paths(): Record<string, { policy: PathPolicy; next: NextNode | null }> {
    return Object.fromEntries(this.#paths);
  }

  /** Ends every session. */
  close(): void {
    for (const { session } of [...this.#carried]) {
      session.destroy(new MoveError('LINK_CLOSED', 'The access point is shutting down.'));
    }
    this.#buffers.close();
  }

  /**
   * A connection to a service for somebody who came in by another door of this node: the same admission, the same
   * counters, and it survives a move as those of links do. Bytes may be written at once.
   * @throws MoveError `ACCESS_POINT_DENIED`, `ADDRESS_DENIED`, `SCOPE_DENIED`, `TOO_MANY_SESSIONS`; what comes later
   * destroys the stream with its reason.
   */
  open(client: {
    identity: OverlayIdentity;
    remoteAddress: string | undefined;
    service: string;
    port: number;
  }): Duplex {
    const { identity, remoteAddress, ...target } = client;
    const denial = this.#denial(identity, target.service, remoteAddress);
    if (denial) throw denial;
    return this.#carry(identity, target, () => undefined);
  }

  #serve(request: ServiceRequest): void {
    const { header, identity, link, stream, accept, refuse } = request;
    const denial = this.#denial(identity, header.service, link.remoteAddress);
    if (denial) {
      refuse(denial);
      return;
    }
    const session = this.#carry(identity, header, accept);
    // A session that never began is refused, with a record of why, before the streams are parted.
    session.once('error', (error: Error) => {
      if (!stream.destroyed) refuse(toMoveError(error));
    });
    joinStreams(stream, session);
  }

  #carry(
    identity: OverlayIdentity,
    target: { service: string; port: number },
    onAttached: () => void,
  ): ResumableSession {
    const { service, port } = target;
    const { clock, events, watch, paths } = this.#options;
    const session = new ResumableSession({
      id: this.#options.random.bytes(16),
      port,
      clock,
      ...(this.#options.parkDeadlineMs === undefined ? {} : { parkDeadlineMs: this.#options.parkDeadlineMs }),
    });
    const carried: Carried = {
      session,
      service,
      client: identity,
      record: undefined,
      path: undefined,
    };
    let carrier: SessionCarrier;
    try {
      carrier = new SessionCarrier({
        session,
        service,
        watch,
        clock,
        attachDeadlineMs: this.#options.attachDeadlineMs ?? 5000,
        openPath: (record, signal) => paths.open(record, port, signal),
        onAttached: (record, path) => {
          this.#onAttached(carried, record, path);
          onAttached();
        },
        onParked: (trouble) =>
          events({
            type: 'session-parked',
            service,
            client: identity.name,
            code: trouble.code,
          }),
      });
    } catch (thrown) {
      session.destroy();
      throw toMoveError(thrown);
    }
    this.#count(carried, 1);
    const unwatch = this.#buffers.add({
      owner: identity.serial,
      bytes: () => session.bufferedBytes,
      moved: () => session.counters.upBytes + session.counters.downBytes,
      cut: (error) => {
        this.#charge(identity.serial, extraTokens.cut);
        session.destroy(error);
      },
    });
    session.once('close', () => {
      unwatch();
      if (session.counters.downBytes === 0) this.#charge(identity.serial, extraTokens.givenUp);
      this.#onClosed(carried);
    });
    void carrier.run();
    return session;
  }

  #denial(
    identity: OverlayIdentity,
    service: string,
    remoteAddress: string | undefined,
  ): MoveError | undefined {
    if (identity.boundAccessPoint !== undefined && identity.boundAccessPoint !== this.#options.name) {
      return new MoveError(
        'ACCESS_POINT_DENIED',
        `This certificate is bound to access point ${identity.boundAccessPoint}; enter there.`,
      );
    }
    if (identity.boundAddress !== undefined && identity.boundAddress !== remoteAddress) {
      return new MoveError(
        'ADDRESS_DENIED',
        'This certificate is bound to another address than the one it is used from.',
      );
    }
    if (!mayReach(identity, service)) {
      return new MoveError('SCOPE_DENIED', `The certificate of ${identity.name} does not allow ${service}.`, {
        service,
      });
    }
    const use = this.#clientUse(identity.serial);
    if (
      this.#carried.size >= (this.#options.maxSessions ?? 8192) ||
      use.sessions >= (this.#options.maxSessionsPerClient ?? 64)
    ) {
      return new MoveError('TOO_MANY_SESSIONS', 'Too many connections are open; close some and try again.');
    }
    if (!use.bucket.take(this.#options.clock.monotonic())) {
      return new MoveError(
        'TOO_MANY_SESSIONS',
        'Too many connections are opened in a short time; keep them open, or wait a moment.',
      );
    }
    return undefined;
  }

  #onAttached(carried: Carried, record: LocationRecord, path: OpenedPath): void {
    const { session, service, client } = carried;
    const again = carried.record !== undefined;
    carried.record = record;
    carried.path = path;
    this.#paths.delete(service);
    this.#paths.set(service, { policy: path.policy, next: path.next });
    const oldest = this.#paths.keys().next();
    if (this.#paths.size > pathsRemembered && !oldest.done) this.#paths.delete(oldest.value);
    const where = {
      service,
      client: client.name,
      site: record.site,
      epoch: record.epoch,
      path: path.policy,
      ...(path.next === null ? {} : { next: path.next.node }),
    };
    if (again)
      this.#options.events({ type: 'session-resumed', ...where, parkedMs: session.counters.parkedMs });
    else this.#options.events({ type: 'session-opened', ...where });
  }

  #onClosed(carried: Carried): void {
    this.#count(carried, -1);
    const { session, service, client } = carried;
    if (!carried.record) return;
    const cause = session.errored;
    this.#options.events({
      type: 'session-closed',
      service,
      client: client.name,
      ...(cause ? { code: toMoveError(cause).code } : {}),
      ...session.counters,
    });
  }

  #count(carried: Carried, by: 1 | -1): void {
    if (by === 1) this.#carried.add(carried);
    else this.#carried.delete(carried);
    const { serial } = carried.client;
    this.#clientUse(serial).sessions += by;
  }

  #charge(serial: string, tokens: number): void {
    this.#clientUse(serial).bucket.charge(this.#options.clock.monotonic(), tokens);
  }

  /** What a certificate uses. It is forgotten when nothing is open any more and its rate has recovered. */
  #clientUse(serial: string): ClientUse {
    const now = this.#options.clock.monotonic();
    let use = this.#perClient.get(serial);
    if (!use) {
      if (this.#perClient.size >= clientsAtMost)
        for (const [other, { sessions, bucket }] of this.#perClient)
          if (sessions === 0 && bucket.level(now) === 1) this.#perClient.delete(other);
      use = {
        sessions: 0,
        bucket: new TokenBucket(this.#options.sessionRate ?? defaultSessionRate, now),
      };
      this.#perClient.set(serial, use);
    }
    return use;
  }
}
