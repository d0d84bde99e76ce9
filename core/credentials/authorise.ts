import type { X509Certificate } from 'node:crypto';
import type { Clock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import { allowsService, type Identity, readIdentity } from './identity.ts';
import { normaliseAddress } from './names.ts';
import { checkOrganisation } from './organisation.ts';
import type { Role } from './roles.ts';

export interface AuthorisationRules {
  /** Authorities whose direct signature counts. */
  trust: readonly X509Certificate[];
  /**
   * The constrained authority of the access point that asks: certificates are good only where it is itself, so that
   * nobody needs to know another's. Signed by one of `trust`, or it does not count.
   */
  constrained?: X509Certificate | undefined;
  /**
   * Authorities of organisations that share the overlay, as the operator named them: what they sign counts within their
   * own scope. Each must be signed by one of `trust`.
   */
  organisations?: readonly X509Certificate[] | undefined;
  /** Serial numbers, upper-case hexadecimal. */
  revoked: Pick<ReadonlySet<string>, 'has'>;
  clock: Pick<Clock, 'now'>;
  expectRole?: Role | readonly Role[];
  /** The service that is to be reached or announced. */
  expectService?: string;
  /** Where the peer comes from, for certificates that are bound to an address. */
  peerAddress?: string;
  /** The access point that asks, for certificates that are bound to one. */
  accessPoint?: string;
}

/**
 * Decides whether a peer's certificate admits it, and as whom (MOVE section 2.2.2). The signature is checked
 * before anything in the certificate is believed. A certificate that is bound to an address or an access
 * point is refused where the caller does not say which it is dealing with. A certificate of an access point's
 * constrained authority counts at that access point only, and only as what such an authority may grant; one of an
 * organisation counts within that organisation's services and sites. With an authority goes all that it has signed.
 *
 * @throws MoveError `CERTIFICATE_MISSING`, `CERTIFICATE_FOREIGN`, `CERTIFICATE_NOT_YET_VALID`,
 * `CERTIFICATE_EXPIRED`, `CERTIFICATE_REVOKED`, `CERTIFICATE_OVERREACHED`, `ROLE_DENIED`, `ADDRESS_DENIED`,
 * `ACCESS_POINT_DENIED`, `SCOPE_DENIED`.
 */
export function authorise(certificate: X509Certificate | undefined, rules: AuthorisationRules): Identity {
  if (certificate === undefined) {
    throw new MoveError(
      'CERTIFICATE_MISSING',
      'No certificate was shown. Ask the administrator for one, import it and connect again.',
    );
  }
  const issuer = checkIssuer(certificate, rules);
  const identity = readIdentity(certificate);
  const constrained = rules.trust.includes(issuer) ? undefined : checkScope(identity, issuer);
  const facts = { role: identity.role, name: identity.name, serial: identity.serial };
  const now = rules.clock.now();
  const begin = Math.max(identity.notBefore, issuer.validFromDate.getTime());
  const end = Math.min(identity.notAfter, issuer.validToDate.getTime());
  if (now < begin) {
    throw new MoveError(
      'CERTIFICATE_NOT_YET_VALID',
      `The certificate of ${identity.name} is valid from ${iso(begin)} only. Check the clocks of both machines.`,
      { ...facts, notBefore: begin },
    );
  }
  // notAfter names the last second that is still inside (RFC 5280 section 4.1.2.5).
  if (now >= end + 1000) {
    throw new MoveError(
      'CERTIFICATE_EXPIRED',
      `The certificate of ${identity.name} ended on ${iso(end)}. Ask the administrator for a new one.`,
      { ...facts, notAfter: end },
    );
  }
  if ([identity, constrained].some((each) => each && isRevoked(each.serial, rules.revoked))) {
    throw new MoveError(
      'CERTIFICATE_REVOKED',
      `The certificate of ${identity.name} was revoked. Ask the administrator for a new one.`,
      facts,
    );
  }
  checkRole(identity, rules.expectRole);
  checkBindings(identity, rules);
  if (rules.expectService !== undefined) requireService(identity, rules.expectService);
  return identity;
}

/** As `allowsService`, but a service outside the scope is an error. @throws MoveError `SCOPE_DENIED`. */
export function requireService(identity: Identity, hostname: string): void {
  if (allowsService(identity, hostname)) return;
  throw new MoveError(
    'SCOPE_DENIED',
    `The certificate of ${identity.name} does not cover ${hostname.slice(0, 253)}. Ask the administrator to issue one that does.`,
    { name: identity.name, serial: identity.serial, service: hostname.slice(0, 253) },
  );
}

const isRevoked = (serial: string, revoked: Pick<ReadonlySet<string>, 'has'>) =>
  revoked.has(serial) || revoked.has(serial.toLowerCase());

/** Who signed the certificate: an authority of `trust`, or one that it signed, of this access point or an organisation. */
function checkIssuer(
  certificate: X509Certificate,
  {
    trust,
    constrained,
    organisations = [],
  }: Pick<AuthorisationRules, 'trust' | 'constrained' | 'organisations'>,
): X509Certificate {
  if (!certificate.ca) {
    const root = signerOf(certificate, trust);
    if (root) return root;
    if (constrained && signerOf(certificate, [constrained]) && signerOf(constrained, trust))
      return constrained;
    const organisation = signerOf(certificate, organisations);
    if (organisation && signerOf(organisation, trust)) return organisation;
  }
  throw new MoveError(
    'CERTIFICATE_FOREIGN',
    "This certificate was not issued by this overlay's authority. Use the one that the administrator gave you.",
    { fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase() },
  );
}

function signerOf(
  certificate: X509Certificate,
  authorities: readonly X509Certificate[],
): X509Certificate | undefined {
  return authorities.find(
    (authority) =>
      authority.ca && certificate.checkIssued(authority) && certificate.verify(authority.publicKey),
  );
}

function checkScope(identity: Identity, issuer: X509Certificate): Identity {
  const authority = readIdentity(issuer);
  if (authority.role !== 'organisation') return checkConstrained(identity, authority);
  checkOrganisation(identity, authority);
  return authority;
}

/**
 * An access point's authority may name clients only, bound to an address and to that very access point, and only
 * for services of its own scope; what it signs beyond that is worth nothing.
 */
function checkConstrained(identity: Identity, authority: Identity): Identity {
  const services = identity.services === 'any' ? null : identity.services;
  const excess = [
    authority.role !== 'access-point' && `it was signed by a ${authority.role}`,
    identity.role !== 'client' && `an access point cannot make a ${identity.role}`,
    identity.boundAddress === undefined && 'it is not bound to an address',
    identity.boundAccessPoint !== authority.name && 'it is not bound to the access point that signed it',
    !services?.every((service) => allowsService(authority, service)) &&
      'it names services that the access point may not grant',
    identity.addresses.length > 0 && 'it names a machine',
  ].find((fault) => fault !== false);
  if (excess === undefined) return authority;
  throw new MoveError(
    'CERTIFICATE_OVERREACHED',
    `This certificate says more than its access point may grant: ${excess}. Enter by an access point and pass its test again.`,
    { serial: identity.serial, issuer: authority.serial, reason: excess },
  );
}

function checkRole(identity: Identity, expected: Role | readonly Role[] | undefined): void {
  if (expected === undefined) return;
  const roles = typeof expected === 'string' ? [expected] : expected;
  if (roles.includes(identity.role)) return;
  throw new MoveError(
    'ROLE_DENIED',
    `${identity.name} has the role "${identity.role}", which may not do this; it takes ${roles.join(' or ')}.`,
    { role: identity.role, name: identity.name, serial: identity.serial, expected: [...roles] },
  );
}

function checkBindings(identity: Identity, rules: AuthorisationRules): void {
  const { boundAddress, boundAccessPoint } = identity;
  const peer = rules.peerAddress === undefined ? undefined : normaliseAddress(rules.peerAddress);
  if (boundAddress !== undefined && boundAddress !== peer) {
    throw new MoveError(
      'ADDRESS_DENIED',
      `The certificate of ${identity.name} may be used from ${boundAddress} only. Pass the human test again from here.`,
      { serial: identity.serial, boundAddress, peerAddress: peer ?? null },
    );
  }
  if (boundAccessPoint !== undefined && boundAccessPoint !== rules.accessPoint) {
    throw new MoveError(
      'ACCESS_POINT_DENIED',
      `The certificate of ${identity.name} admits to the access point ${boundAccessPoint} only. Enter there.`,
      { serial: identity.serial, boundAccessPoint, accessPoint: rules.accessPoint ?? null },
    );
  }
}

const iso = (time: number) => new Date(time).toISOString();
