import type { KeyObject } from 'node:crypto';
import { MoveError } from '../runtime/errors.ts';
import { type Claims, claimUris } from './identity.ts';
import type { CheckedRequest } from './issue-request.ts';
import type { Profile } from './profiles.ts';

/** A certificate before it is signed: what the profile made of a request. Times are milliseconds since the epoch. */
export interface CertificateDraft {
  profile: Profile;
  claims: Claims;
  uris: string[];
  addresses: string[];
  hostnames: string[];
  notBefore: number;
  notAfter: number;
  publicKey: KeyObject;
}

/** How far other machines' clocks may run behind the authority's. */
export const CLOCK_SKEW_MS = 5 * 60_000;

/**
 * Second step of issuance: what the profile grants of a checked request. A lifetime outside the profile's
 * bounds is refused, not bent: whoever asked should know.
 * @throws MoveError `PROFILE_DENIED`, `LIFETIME_DENIED`.
 */
export function applyProfile(
  request: CheckedRequest,
  publicKey: KeyObject,
  now: number,
  authority: { notBefore: number; notAfter: number },
): CertificateDraft {
  const { profile } = request;
  const addresses = [...new Set(request.addresses ?? [])].sort();
  const hostnames = [...new Set(request.hostnames ?? [])].sort();
  if (profile.addresses === 'required' && addresses.length === 0)
    throw denied(profile, 'needs at least one IP address');
  if (profile.addresses === 'forbidden' && addresses.length > 0)
    throw denied(profile, 'carries no IP address');
  if (!profile.hostnames && hostnames.length > 0) throw denied(profile, 'carries no further host names');
  const bound = request.boundAddress !== undefined || request.boundAccessPoint !== undefined;
  if (bound && !profile.bindings) throw denied(profile, 'cannot be bound to an address or an access point');
  const claims: Claims = {
    role: profile.role,
    name: request.name,
    services: grantedServices(request),
    ...grantedSites(request),
    ...(request.boundAddress === undefined ? {} : { boundAddress: request.boundAddress }),
    ...(request.boundAccessPoint === undefined ? {} : { boundAccessPoint: request.boundAccessPoint }),
  };
  return {
    profile,
    claims,
    uris: claimUris(claims),
    addresses,
    hostnames: profile.services === 'own' ? [request.name] : hostnames,
    ...period(request, now, authority),
    publicKey,
  };
}

/** An organisation is told exactly what it may certify: nothing is not an organisation, and "any" is the operator. */
function grantedSites({ profile, services, sites }: CheckedRequest): { sites?: string[] } {
  if (profile.name !== 'organisation') {
    if (sites !== undefined) throw denied(profile, 'names no sites');
    return {};
  }
  if (services === 'any' || !services?.length) throw denied(profile, 'names each service that it holds');
  if (!sites?.length) throw denied(profile, 'names each site that it holds');
  return { sites: [...new Set(sites)].sort() };
}

function grantedServices(request: CheckedRequest): string[] | 'any' {
  const { profile, services } = request;
  if (profile.services === 'scoped') return services === 'any' ? 'any' : [...new Set(services ?? [])].sort();
  if (services !== undefined)
    throw denied(profile, 'has a fixed scope, so the request must not name services');
  if (profile.services === 'own') return [request.name];
  return profile.services === 'any' ? 'any' : [];
}

function period(
  request: CheckedRequest,
  now: number,
  authority: { notBefore: number; notAfter: number },
): { notBefore: number; notAfter: number } {
  const { minimum, maximum } = request.profile.lifetime;
  const asked = request.lifetimeMs;
  if (asked !== undefined && (asked < minimum || asked > maximum)) {
    throw new MoveError(
      'LIFETIME_DENIED',
      `A certificate of profile ${request.profile.name} lives between ${duration(minimum)} and ${duration(maximum)}. Ask for a time in between.`,
      { profile: request.profile.name, askedMs: asked, minimumMs: minimum, maximumMs: maximum },
    );
  }
  // Certificates count whole seconds (RFC 5280 section 4.1.2.5).
  const whole = (time: number) => Math.floor(time / 1000) * 1000;
  const end = whole(now + (asked ?? request.profile.lifetime.default));
  if (asked !== undefined && end > authority.notAfter) {
    throw new MoveError(
      'LIFETIME_DENIED',
      `The authority itself ends on ${new Date(authority.notAfter).toISOString()}, before this certificate would. Ask for a shorter time or make a new authority.`,
      { authorityNotAfter: authority.notAfter, askedNotAfter: end },
    );
  }
  return {
    notBefore: Math.max(whole(now - CLOCK_SKEW_MS), authority.notBefore),
    notAfter: Math.min(end, authority.notAfter),
  };
}

function duration(milliseconds: number): string {
  const units = [
    [86_400_000, 'days'],
    [3_600_000, 'hours'],
    [60_000, 'minutes'],
  ] as const;
  const unit = units.find(([size]) => milliseconds >= 2 * size) ?? ([1_000, 'seconds'] as const);
  return `${Math.round(milliseconds / unit[0])} ${unit[1]}`;
}

function denied(profile: Profile, why: string): MoveError {
  return new MoveError('PROFILE_DENIED', `A certificate of profile ${profile.name} ${why}.`, {
    profile: profile.name,
    reason: why,
  });
}
