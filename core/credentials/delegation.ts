import { createPrivateKey, type KeyObject, sign, verify, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson } from '../runtime/canonical-json.ts';
import type { Clock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import { authorise, requireService } from './authorise.ts';
import { isServiceName } from './names.ts';

const statementShape = {
  service: z.string().refine(isServiceName, 'is not a host name in lower case'),
  site: z.string().min(1).max(64),
  /** Rises with every move; a stale site holds a lower one. */
  epoch: z.int().min(1),
  /** Milliseconds since the epoch; without it the delegation ends with the service's certificate. */
  notAfter: z.int().min(0).optional(),
};

/** The service's word that one site may announce it, for one epoch. */
export const delegationSchema = z.strictObject({
  ...statementShape,
  serviceCertificatePem: z.string().min(1).max(16_384),
  signature: z.base64().min(1).max(1_024),
});
export type Delegation = z.infer<typeof delegationSchema>;
export type DelegationStatement = Omit<Delegation, 'serviceCertificatePem' | 'signature'>;

const statementSchema = z.strictObject(statementShape);

/**
 * Signs, with the service's key that control holds, that `site` may announce `service` for `epoch`. ECDSA on
 * P-256 with SHA-256 (DER) over `move-delegation-1`, a line feed and the canonical JSON of the statement.
 * @throws MoveError `DELEGATION_INVALID` for a malformed statement or a key that is not the certificate's.
 */
export function signDelegation(
  statement: DelegationStatement,
  serviceKey: KeyObject | string,
  serviceCertificatePem: string,
): Delegation {
  const parsed = statementSchema.safeParse(statement);
  if (!parsed.success) throw invalid(z.prettifyError(parsed.error));
  const key = typeof serviceKey === 'string' ? createPrivateKey(serviceKey) : serviceKey;
  if (!readServiceCertificate(serviceCertificatePem).checkPrivateKey(key)) {
    throw invalid("the key is not that of the service's certificate");
  }
  const signature = sign(digestFor(key), signedBytes(parsed.data), key).toString('base64');
  return { ...parsed.data, serviceCertificatePem, signature };
}

/**
 * Checks a delegation: its form, the service's certificate (issued by a trusted authority, in its time, not
 * revoked, role `service`, for exactly this service), its own end and its signature.
 * @throws MoveError `DELEGATION_INVALID`, `DELEGATION_EXPIRED`, and what `authorise` throws.
 */
export function verifyDelegation(
  candidate: unknown,
  trust: readonly X509Certificate[],
  clock: Pick<Clock, 'now'>,
  revoked: Pick<ReadonlySet<string>, 'has'> = new Set(),
): Delegation {
  const parsed = delegationSchema.safeParse(candidate);
  if (!parsed.success) throw invalid(z.prettifyError(parsed.error));
  const delegation = parsed.data;
  const certificate = readServiceCertificate(delegation.serviceCertificatePem);
  const identity = authorise(certificate, { trust, revoked, clock, expectRole: 'service' });
  requireService(identity, delegation.service);
  if (delegation.notAfter !== undefined && clock.now() > delegation.notAfter) {
    throw new MoveError(
      'DELEGATION_EXPIRED',
      `The permission of site ${delegation.site} to announce ${delegation.service} has ended. Control must sign a new one.`,
      {
        service: delegation.service,
        site: delegation.site,
        epoch: delegation.epoch,
        notAfter: delegation.notAfter,
      },
    );
  }
  const signature = Buffer.from(delegation.signature, 'base64');
  const key = certificate.publicKey;
  if (!verify(digestFor(key), signedBytes(delegation), key, signature)) {
    throw invalid("the service's signature is wrong");
  }
  return delegation;
}

function signedBytes({ service, site, epoch, notAfter }: DelegationStatement): Buffer {
  return Buffer.from(`move-delegation-1\n${canonicalJson({ service, site, epoch, notAfter })}`);
}

function digestFor(key: KeyObject): string | null {
  return key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
}

function readServiceCertificate(text: string): X509Certificate {
  try {
    return new X509Certificate(text);
  } catch (cause) {
    throw invalid("the service's certificate cannot be read", cause);
  }
}

function invalid(why: string, cause?: unknown): MoveError {
  return new MoveError(
    'DELEGATION_INVALID',
    `This permission to announce a service is not valid: ${why}. Only control can sign a new one.`,
    { reason: why },
    cause,
  );
}
