import { MoveError } from '../runtime/errors.ts';
import type { Role } from './roles.ts';

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;
/** The longest life that browsers accept in a certificate (CA/Browser Forum baseline, 398 days). */
const LONGEST = 398 * DAY;

export const PROFILE_NAMES = [
  'overlay',
  'site',
  'stone',
  'service',
  'client',
  'agent',
  'console',
  'door',
  'access-point',
  'organisation',
] as const;
export type ProfileName = (typeof PROFILE_NAMES)[number];
export type TlsUse = 'clientAuth' | 'serverAuth';

/** What the authority grants to one kind of holder, and within which bounds. */
export interface Profile {
  name: ProfileName;
  role: Role;
  /** Whose name it is: a machine's, a service's host name, or a person's. */
  naming: 'machine' | 'service' | 'person';
  /** TLS ends that it may be (extended key usage, RFC 5280 section 4.2.1.12). */
  uses: readonly TlsUse[];
  /**
   * Service scope: `own` is exactly the service it is named after, `scoped` is what the request lists (an
   * empty list is none), `none` forbids a scope, `any` always holds every service.
   */
  services: 'own' | 'scoped' | 'none' | 'any';
  /** Whether IP addresses of the machine must, may or must not stand in it. */
  addresses: 'required' | 'allowed' | 'forbidden';
  /** Whether DNS names of the machine may stand in it. */
  hostnames: boolean;
  /** Whether it may be bound to one client address and one access point. */
  bindings: boolean;
  /**
   * Whether it is an authority itself, constrained to what its own certificate says and to no further authority
   * (RFC 5280 section 4.2.1.9); see `ConstrainedAuthority` and `checkOrganisation`.
   */
  signs: boolean;
  /** Milliseconds. */
  lifetime: { minimum: number; default: number; maximum: number };
}

const MACHINE = { naming: 'machine', bindings: false, hostnames: true, signs: false } as const;
const BOTH_ENDS = ['clientAuth', 'serverAuth'] as const;

export const PROFILES: Readonly<Record<ProfileName, Profile>> = {
  overlay: {
    ...MACHINE,
    name: 'overlay',
    role: 'overlay',
    uses: BOTH_ENDS,
    services: 'none',
    addresses: 'required',
    lifetime: { minimum: HOUR, default: 90 * DAY, maximum: LONGEST },
  },
  site: {
    ...MACHINE,
    name: 'site',
    role: 'site',
    uses: BOTH_ENDS,
    services: 'scoped',
    addresses: 'required',
    lifetime: { minimum: HOUR, default: 90 * DAY, maximum: LONGEST },
  },
  stone: {
    ...MACHINE,
    name: 'stone',
    role: 'stone',
    uses: BOTH_ENDS,
    services: 'none',
    addresses: 'required',
    lifetime: { minimum: HOUR, default: 90 * DAY, maximum: LONGEST },
  },
  service: {
    name: 'service',
    role: 'service',
    naming: 'service',
    uses: ['serverAuth'],
    services: 'own',
    addresses: 'forbidden',
    hostnames: false,
    bindings: false,
    signs: false,
    lifetime: { minimum: HOUR, default: 365 * DAY, maximum: LONGEST },
  },
  client: {
    name: 'client',
    role: 'client',
    naming: 'person',
    uses: ['clientAuth'],
    services: 'scoped',
    addresses: 'forbidden',
    hostnames: false,
    bindings: true,
    signs: false,
    lifetime: { minimum: 10 * SECOND, default: 30 * DAY, maximum: LONGEST },
  },
  agent: {
    ...MACHINE,
    name: 'agent',
    role: 'agent',
    uses: BOTH_ENDS,
    services: 'none',
    addresses: 'allowed',
    lifetime: { minimum: HOUR, default: 90 * DAY, maximum: LONGEST },
  },
  console: {
    name: 'console',
    role: 'console',
    naming: 'person',
    uses: ['clientAuth'],
    services: 'any',
    addresses: 'forbidden',
    hostnames: false,
    bindings: false,
    signs: false,
    lifetime: { minimum: 60 * SECOND, default: 30 * DAY, maximum: 90 * DAY },
  },
  // What browsers meet: an overlay node's own addresses and the host names of the services behind it. Its key is
  // not the node's, and it opens no link.
  door: {
    ...MACHINE,
    name: 'door',
    role: 'door',
    uses: ['serverAuth'],
    services: 'none',
    addresses: 'required',
    lifetime: { minimum: HOUR, default: 90 * DAY, maximum: LONGEST },
  },
  // An access point's constrained authority. Its scope bounds what it can grant.
  'access-point': {
    ...MACHINE,
    name: 'access-point',
    role: 'access-point',
    uses: ['clientAuth'],
    services: 'scoped',
    addresses: 'forbidden',
    hostnames: false,
    signs: true,
    lifetime: { minimum: HOUR, default: 90 * DAY, maximum: LONGEST },
  },
  // The authority of an organisation that shares the overlay; see `organisation.ts`.
  organisation: {
    ...MACHINE,
    name: 'organisation',
    role: 'organisation',
    uses: BOTH_ENDS,
    services: 'scoped',
    addresses: 'forbidden',
    hostnames: false,
    signs: true,
    lifetime: { minimum: HOUR, default: 365 * DAY, maximum: LONGEST },
  },
};

/** @throws MoveError `PROFILE_UNKNOWN`. */
export function profileNamed(name: string): Profile {
  const profile = (PROFILES as Readonly<Record<string, Profile | undefined>>)[name];
  if (profile && Object.hasOwn(PROFILES, name)) return profile;
  throw new MoveError(
    'PROFILE_UNKNOWN',
    `There is no certificate profile "${name}". Choose one of ${PROFILE_NAMES.join(', ')}.`,
    { profile: name },
  );
}
