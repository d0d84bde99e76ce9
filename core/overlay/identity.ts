import type { X509Certificate } from 'node:crypto';

/**
 * What a certificate says of its holder, as far as the overlay needs it. core/credentials reads it out of
 * the certificate's SAN URIs (`move://role/…`, `move://name/…`, `move://service/…`, `move://address/…`,
 * `move://access-point/…`); the overlay is given that function and never parses certificates itself.
 */
export interface OverlayIdentity {
  role: string;
  name: string;
  /** Service hostnames this identity may reach (client), relocate (site) or is (service); `*` is any. */
  services: readonly string[];
  /** Lower-case hexadecimal, no separators, as `X509Certificate.serialNumber` lower-cased. */
  serial: string;
  /** When not empty, the only IP addresses a client may come from. */
  addresses?: readonly string[];
  /** When not empty, the only access points a client may enter by. */
  accessPoints?: readonly string[];
}

export type ReadIdentity = (certificate: X509Certificate) => OverlayIdentity;

/** True when `identity` names the service itself or carries the `*` scope. */
export function mayReach(identity: OverlayIdentity, service: string): boolean {
  return identity.services.includes('*') || identity.services.includes(service);
}
