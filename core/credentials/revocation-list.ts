import type { X509Certificate } from 'node:crypto';
import { MoveError } from '../runtime/errors.ts';
import type { Signer } from './certificate-signing.ts';
import { integer, toDer } from './der.ts';
import { pem } from './encrypted-key.ts';
import type { IssuedCertificate, RevocationReason } from './issuance-log.ts';
import {
  AuthorityKeyIdentifierExtension,
  Extension,
  PublicKey,
  parseCertificate,
  SIGNING_ALGORITHM,
  X509Crl,
  X509CrlGenerator,
  X509CrlReason,
} from './x509.ts';

const CRL_NUMBER = '2.5.29.20';
const REASONS: Readonly<Record<RevocationReason, X509CrlReason | undefined>> = {
  // RFC 5280 section 5.3.1: an unspecified reason is said by leaving it out.
  unspecified: undefined,
  keyCompromise: X509CrlReason.keyCompromise,
  affiliationChanged: X509CrlReason.affiliationChanged,
  superseded: X509CrlReason.superseded,
  cessationOfOperation: X509CrlReason.cessationOfOperation,
  privilegeWithdrawn: X509CrlReason.privilegeWithdrawn,
};

/** How long a list may be believed before a newer one must have come. */
export const LIST_LIFETIME_MS = 7 * 86_400_000;

/** A revocation list as it was read and found to be signed by a trusted authority. */
export interface RevocationList {
  /** Upper-case hexadecimal serial numbers. */
  serials: ReadonlySet<string>;
  number: bigint;
  /** Milliseconds since the epoch, both. */
  thisUpdate: number;
  nextUpdate: number;
}

/** Signs a certificate revocation list (RFC 5280 section 5), PEM with the label `X509 CRL`. */
export async function signRevocationList(
  revoked: readonly IssuedCertificate[],
  number: number,
  now: number,
  signer: Signer,
): Promise<string> {
  const authorityKey = new PublicKey(signer.certificate.publicKey.export({ type: 'spki', format: 'der' }));
  const list = await X509CrlGenerator.create({
    issuer: parseCertificate(signer.certificate.raw).subjectName,
    thisUpdate: new Date(Math.floor(now / 1000) * 1000),
    nextUpdate: new Date(Math.floor((now + LIST_LIFETIME_MS) / 1000) * 1000),
    signingAlgorithm: SIGNING_ALGORITHM,
    signingKey: signer.signingKey,
    entries: revoked.map((certificate) => {
      const reason = REASONS[certificate.reason ?? 'unspecified'];
      return {
        serialNumber: certificate.serial.toLowerCase(),
        revocationDate: new Date(Math.floor((certificate.revokedAt ?? now) / 1000) * 1000),
        ...(reason === undefined ? {} : { reason }),
      };
    }),
    extensions: [
      await AuthorityKeyIdentifierExtension.create(authorityKey),
      new Extension(CRL_NUMBER, false, new Uint8Array(toDer(integer(number)))),
    ],
  });
  return pem('X509 CRL', new Uint8Array(list.rawData));
}

/**
 * Reads a revocation list that came over the wire and checks that a trusted authority signed it. Whoever
 * holds an older list compares `number` and keeps the higher one.
 * @throws MoveError `REVOCATION_LIST_INVALID`.
 */
export async function readRevocationList(
  text: string,
  trust: readonly X509Certificate[],
): Promise<RevocationList> {
  try {
    const list = new X509Crl(text);
    let signed = false;
    for (const authority of trust) {
      const parsed = parseCertificate(authority.raw);
      signed ||= parsed.subject === list.issuer && (await list.verify({ publicKey: parsed }));
    }
    const numberExtension = list.getExtension(CRL_NUMBER);
    if (signed && numberExtension) {
      return {
        serials: new Set(list.entries.map((entry) => entry.serialNumber.toUpperCase())),
        number: BigInt(`0x${Buffer.from(numberExtension.value).subarray(2).toString('hex')}`),
        thisUpdate: list.thisUpdate.getTime(),
        nextUpdate: list.nextUpdate?.getTime() ?? 0,
      };
    }
  } catch (cause) {
    throw invalidList(cause);
  }
  throw invalidList();
}

function invalidList(cause?: unknown): MoveError {
  return new MoveError(
    'REVOCATION_LIST_INVALID',
    'This revocation list cannot be read or was not signed by the authority. Fetch a fresh one from the console.',
    {},
    cause,
  );
}
