import type { ProfileName } from './profiles.ts';

/** The reasons for a revocation that the authority accepts (RFC 5280 section 5.3.1). */
export const REVOCATION_REASONS = [
  'unspecified',
  'keyCompromise',
  'affiliationChanged',
  'superseded',
  'cessationOfOperation',
  'privilegeWithdrawn',
] as const;
export type RevocationReason = (typeof REVOCATION_REASONS)[number];

/** What the authority remembers of a certificate: everything but keys. Times are milliseconds since the epoch. */
export interface IssuedCertificate {
  serial: string;
  name: string;
  profile: ProfileName;
  services: string[] | 'any';
  issuedAt: number;
  notBefore: number;
  notAfter: number;
  /** `null` while the certificate stands. */
  revokedAt: number | null;
  reason: RevocationReason | null;
  /** SHA-256 of the certificate, lower-case hexadecimal. */
  fingerprint256: string;
}

/**
 * Where the authority reports what it did, before anybody gets to see the result; the journal is one. A
 * log that throws fails the operation: a certificate that could not be recorded never leaves. A revocation
 * stands even then, for it is on the safe side.
 */
export interface IssuanceLog {
  issued(certificate: IssuedCertificate, renewal?: IssuedRenewal): void | Promise<void>;
  revoked(certificate: IssuedCertificate): void | Promise<void>;
  refused(refusal: IssuanceRefusal): void | Promise<void>;
}

/** What a certificate renews. */
export interface IssuedRenewal {
  /** Serial number of the one before. */
  from: string;
  /** How many renewals are left after this one. */
  left: number;
}

export interface IssuanceRefusal {
  profile: string;
  name: string;
  code: string;
  message: string;
}

/** A log for callers that keep none; the authority's own store remembers certificates in any case. */
export const noIssuanceLog: IssuanceLog = {
  issued: () => undefined,
  revoked: () => undefined,
  refused: () => undefined,
};
