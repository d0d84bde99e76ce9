import type { KeyObject } from 'node:crypto';
import { createPrivateKey, sign, verify, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson } from '../runtime/canonical-json.ts';
import { MoveError } from '../runtime/errors.ts';
import type { ReadIdentity } from './identity.ts';
import { mayReach } from './identity.ts';

const hostname = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, 'a lower-case hostname');
const siteName = z.string().min(1).max(64);
const signature = z.base64().min(1).max(1024);
const certificatePem = z.string().min(1).max(16_384);

/** A service's own statement that a site may announce it for one epoch, signed by the service's key. */
export const serviceDelegationSchema = z.strictObject({
  service: hostname,
  site: siteName,
  epoch: z.int().min(1),
  serviceCertificatePem: certificatePem,
  signature,
});
export type ServiceDelegation = z.infer<typeof serviceDelegationSchema>;

/**
 * Where a service is: signed by the site, backed by the service's delegation, carrying both certificates
 * so that anybody who holds the authority's certificate can check it without asking further.
 */
export const locationRecordSchema = z.strictObject({
  service: hostname,
  site: siteName,
  /** `host:port` at which the site takes links from overlay nodes. */
  address: z.string().regex(/^(\[[0-9a-fA-F:.]+\]|[^:[\]]+):\d{1,5}$/, 'host:port'),
  epoch: z.int().min(1),
  /** Milliseconds since the epoch, both. */
  issuedAt: z.int().min(0),
  expiresAt: z.int().min(0),
  delegation: serviceDelegationSchema,
  siteCertificatePem: certificatePem,
  signature,
});
export type LocationRecord = z.infer<typeof locationRecordSchema>;

export type LocationStatement = Pick<
  LocationRecord,
  'service' | 'site' | 'address' | 'epoch' | 'issuedAt' | 'expiresAt'
>;

/** No site may sign for longer than this: records are re-affirmed periodically and expire otherwise. */
export const longestRecordLifeMs = 10 * 60_000;
/** How far a signer's clock may run ahead of the reader's. */
export const clockToleranceMs = 30_000;

const delegationBytes = (d: Pick<ServiceDelegation, 'service' | 'site' | 'epoch'>): Buffer =>
  Buffer.from(`move-delegation-1\n${canonicalJson({ service: d.service, site: d.site, epoch: d.epoch })}`);

const statementBytes = (s: LocationStatement): Buffer =>
  Buffer.from(
    `move-location-1\n${canonicalJson({
      service: s.service,
      site: s.site,
      address: s.address,
      epoch: s.epoch,
      issuedAt: s.issuedAt,
      expiresAt: s.expiresAt,
    })}`,
  );

const privateKey = (key: KeyObject | string): KeyObject =>
  typeof key === 'string' ? createPrivateKey(key) : key;

/** Signs a location record with the site's key (ECDSA P-256, SHA-256; MOVE §3, "location announcement"). */
export function signLocationRecord(
  statement: LocationStatement & { delegation: ServiceDelegation },
  site: { key: KeyObject | string; certificatePem: string },
): LocationRecord {
  return locationRecordSchema.parse({
    ...statement,
    siteCertificatePem: site.certificatePem,
    signature: sign('sha256', statementBytes(statement), privateKey(site.key)).toString('base64'),
  });
}

export interface RecordTrust {
  /**
   * The certificates of the authority and of the organisations that share the overlay; both signers must have been issued
   * by one of them. Whether an organisation may sign for them is for `checkRevoked` to say.
   */
  trustPem: readonly string[];
  readIdentity: ReadIdentity;
  /** Milliseconds since the epoch. */
  now: number;
  /** The certificate of the site that announces, where it is known from the link; else the record's own. */
  siteCertificate?: X509Certificate;
  /** Throws when a certificate was revoked, or says more than whoever signed it may grant. */
  checkRevoked?(certificate: X509Certificate): void;
}

const invalid = (message: string, details: Record<string, unknown> = {}): MoveError =>
  new MoveError('RECORD_INVALID', message, details);

/** A certificate whose signature and dates were found right; authorities are few and records come often. */
const provenIssuers = new WeakMap<readonly string[], Map<string, { validFrom: number; validTo: number }>>();
const provenIssuersLimit = 512;

function checkIssued(certificate: X509Certificate, trust: RecordTrust): void {
  let proven = provenIssuers.get(trust.trustPem);
  if (!proven) {
    proven = new Map();
    provenIssuers.set(trust.trustPem, proven);
  }
  let dates = proven.get(certificate.fingerprint256);
  if (!dates) {
    const issuer = trust.trustPem
      .map((pem) => new X509Certificate(pem))
      .find(
        (candidate) =>
          candidate.ca && certificate.checkIssued(candidate) && certificate.verify(candidate.publicKey),
      );
    if (!issuer) throw invalid('A certificate in the location record was not issued by this authority.');
    dates = {
      validFrom: Math.max(Date.parse(certificate.validFrom), Date.parse(issuer.validFrom)),
      validTo: Math.min(Date.parse(certificate.validTo), Date.parse(issuer.validTo)),
    };
    if (proven.size >= provenIssuersLimit) proven.clear();
    proven.set(certificate.fingerprint256, dates);
  }
  if (trust.now < dates.validFrom || trust.now > dates.validTo) {
    throw invalid('A certificate in the location record is not valid now; renew it.', dates);
  }
  trust.checkRevoked?.(certificate);
}

function parseCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new MoveError(
      'RECORD_INVALID',
      'The location record carries an unreadable certificate.',
      {},
      cause,
    );
  }
}

/**
 * Checks everything a location record claims: form, dates, the site's signature by a certificate of role
 * `site` and that name, and the service's delegation of this very epoch to this very site by a certificate
 * of role `service` and that hostname, both issued by the authority, and that the site's certificate names the service:
 * several organisations share the overlay, and each holds its services and the sites that were certified for them.
 * @throws MoveError `RECORD_INVALID` (the message says which check failed), `ORGANISATION_DENIED` or `RECORD_EXPIRED`.
 */
export function verifyLocationRecord(candidate: unknown, trust: RecordTrust): LocationRecord {
  const parsed = locationRecordSchema.safeParse(candidate);
  if (!parsed.success) throw invalid(`The location record is malformed: ${z.prettifyError(parsed.error)}`);
  const record = parsed.data;
  const { delegation } = record;
  const named = { service: record.service, site: record.site, epoch: record.epoch };
  if (
    delegation.service !== record.service ||
    delegation.site !== record.site ||
    delegation.epoch !== record.epoch
  ) {
    throw invalid('The delegation in the location record is for another service, site or epoch.', named);
  }
  if (
    record.issuedAt > trust.now + clockToleranceMs ||
    record.expiresAt - record.issuedAt > longestRecordLifeMs
  ) {
    throw invalid('The location record is dated in the future or asks for too long a life.', named);
  }
  if (record.expiresAt <= trust.now) {
    throw new MoveError('RECORD_EXPIRED', `The location record of ${record.service} has expired.`, named);
  }

  const site = trust.siteCertificate ?? parseCertificate(record.siteCertificatePem);
  checkIssued(site, trust);
  const siteIdentity = trust.readIdentity(site);
  if (siteIdentity.role !== 'site' || siteIdentity.name !== record.site) {
    throw invalid(`The location record speaks for site ${record.site} but another holder signed it.`, named);
  }
  if (!mayReach(siteIdentity, record.service)) {
    throw new MoveError(
      'ORGANISATION_DENIED',
      `${record.service} may not be at ${record.site}: that site's certificate does not name it, so it belongs to another organisation.`,
      named,
    );
  }
  if (!verify('sha256', statementBytes(record), site.publicKey, Buffer.from(record.signature, 'base64'))) {
    throw invalid("The site's signature on the location record is wrong.", named);
  }

  const service = parseCertificate(delegation.serviceCertificatePem);
  checkIssued(service, trust);
  const serviceIdentity = trust.readIdentity(service);
  if (
    serviceIdentity.role !== 'service' ||
    serviceIdentity.services === 'any' ||
    !mayReach(serviceIdentity, record.service)
  ) {
    throw invalid(
      `The delegation for ${record.service} was not signed by that service's certificate.`,
      named,
    );
  }
  const delegated = Buffer.from(delegation.signature, 'base64');
  if (!verify('sha256', delegationBytes(delegation), service.publicKey, delegated)) {
    throw invalid("The service's signature on the delegation is wrong.", named);
  }
  return record;
}
