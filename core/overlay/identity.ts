import type { X509Certificate } from 'node:crypto';

/**
 * What a certificate says of its holder, as far as the overlay needs it. core/credentials reads it out of
 * the certificate's SAN URIs; the overlay is given that function and never parses certificates itself.
 */
export interface OverlayIdentity {
  role: string;
  name: string;
  /** Service hostnames this identity may reach (client), relocate (site) or is (service). */
  services: readonly string[] | 'any';
  /** Hexadecimal; compared without regard to case. */
  serial: string;
  /** The only IP address a client may come from, where its certificate is bound to one. */
  boundAddress?: string;
  /** The only access point a client may enter by, where its certificate is bound to one. */
  boundAccessPoint?: string;
}

export type ReadIdentity = (certificate: X509Certificate) => OverlayIdentity;

/**
 * Reads a certificate *and* decides whether its holder is welcome at all: throws a MoveError for a revoked
 * one, or one bound to another address. Signature and dates are proven by TLS before it is asked, and it is
 * asked again over live links.
 */
export type Authorise = (
  certificate: X509Certificate,
  peer: { remoteAddress: string | undefined },
) => OverlayIdentity;

/** True when `identity` names the service itself or may reach any. */
export function mayReach(identity: OverlayIdentity, service: string): boolean {
  return identity.services === 'any' || identity.services.includes(service);
}
