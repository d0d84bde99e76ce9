import { z } from 'zod';
import type { NodeList } from '../contract/node-list.ts';
import { MoveError } from '../runtime/errors.ts';
import type { Link } from '../runtime/link/link.ts';
import { mayReach, type OverlayIdentity } from './identity.ts';
import type { ServiceWatch } from './service-watch.ts';
import type { StreamRouter } from './stream-router.ts';

/** Passes a client's certificate request on to the authority. @throws MoveError its reason to refuse. */
export type RenewCertificate = (renewal: {
  /** Serial of the certificate that the client has proven to hold. */
  serial: string;
  requestPem: string;
}) => Promise<{ certificatePem: string }>;

export interface ClientCallsParts {
  router: StreamRouter;
  watch: ServiceWatch;
  /** This node's name, to which client certificates may be bound. */
  name: string;
  /** The newest signed list of overlay nodes, if there is one. */
  nodeList: () => NodeList | undefined;
  /** The home site of a service, where the administrator has said it. */
  homeOf: (service: string) => string | undefined;
  renew: RenewCertificate | undefined;
}

/** What an access point tells clients by itself. */
export interface ClientCalls {
  /** Tells whoever has asked for the list of overlay nodes that there is a newer one. */
  tellOfList(): void;
}

const watchedByOneClient = 64;
const serviceParams = z.strictObject({ service: z.string().min(1).max(253) });
const renewParams = z.strictObject({ requestPem: z.string().startsWith('-----BEGIN ').max(16_384) });

function checked<Params>(schema: z.ZodType<Params>, params: unknown): Params {
  const parsed = schema.safeParse(params);
  if (parsed.success) return parsed.data;
  throw new MoveError('REQUEST_INVALID', `The call is malformed: ${z.prettifyError(parsed.error)}`);
}

/**
 * What an access point answers to clients beside carrying their connections: the signed list of overlay nodes, whether a
 * service is at its home, and the renewal of their certificate.
 */
export function registerClientCalls(parts: ClientCallsParts): ClientCalls {
  const { router, watch, nodeList, homeOf, renew } = parts;
  const listening = new Set<Link>();
  router.registerCall({
    method: 'nodes.list',
    roles: ['client', 'overlay'],
    handle: (_params, { link }) => {
      if (!listening.has(link)) {
        listening.add(link);
        void link.closed.then(() => listening.delete(link));
      }
      const list = nodeList();
      if (!list)
        throw new MoveError('NODE_LIST_MISSING', 'This access point has no list of overlay nodes yet.');
      return { list };
    },
  });

  const watched = new WeakMap<Link, Map<string, () => void>>();
  const follow = (link: Link, service: string) => {
    let services = watched.get(link);
    if (!services) {
      const followed = new Map<string, () => void>();
      services = followed;
      watched.set(link, services);
      void link.closed.then(() => {
        for (const stop of followed.values()) stop();
      });
    }
    if (services.has(service)) return;
    if (services.size >= watchedByOneClient)
      throw new MoveError('TOO_MANY_SERVICES', 'You ask for the homes of too many services.');
    const tell = () => {
      if (link.isOpen) link.notify('location.moved', { service });
    };
    services.set(service, watch.follow(service, tell));
  };
  router.registerCall({
    method: 'location.home',
    roles: ['client'],
    async handle(params, { identity, link }) {
      const { service } = checked(serviceParams, params);
      mustBeAllowed(identity, parts.name, link);
      if (!mayReach(identity, service))
        throw new MoveError('SCOPE_DENIED', `The certificate of ${identity.name} does not allow ${service}.`);
      const home = homeOf(service) ?? null;
      if (home === null) return { home, record: null };
      follow(link, service);
      const record = watch.known(service) ?? (await watch.refresh(service));
      // Where a service is while it is not at home is nobody's business but the overlay's.
      return { home, record: record.site === home ? record : null };
    },
  });

  const renewing = new WeakSet<Link>();
  router.registerCall({
    method: 'certificate.renew',
    roles: ['client'],
    async handle(params, { identity, link }) {
      const { requestPem } = checked(renewParams, params);
      mustBeAllowed(identity, parts.name, link);
      if (!renew || renewing.has(link))
        throw new MoveError(
          'RENEWAL_UNAVAILABLE',
          'Certificates cannot be renewed here now; try again later.',
        );
      renewing.add(link);
      try {
        return await renew({ serial: identity.serial, requestPem });
      } finally {
        renewing.delete(link);
      }
    },
  });
  return {
    tellOfList() {
      for (const link of listening) if (link.isOpen) link.notify('nodes.listed', {});
    },
  };
}

function mustBeAllowed(identity: OverlayIdentity, name: string, link: Link): void {
  if (identity.boundAccessPoint !== undefined && identity.boundAccessPoint !== name)
    throw new MoveError(
      'ACCESS_POINT_DENIED',
      `This certificate is bound to access point ${identity.boundAccessPoint}; enter there.`,
    );
  if (identity.boundAddress !== undefined && identity.boundAddress !== link.remoteAddress)
    throw new MoveError(
      'ADDRESS_DENIED',
      'This certificate is bound to another address than the one it is used from.',
    );
}
