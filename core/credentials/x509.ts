// The library's dependency injection needs the Reflect polyfill before it is loaded: this module is the
// one door to both, so that the order can never be wrong.
import 'reflect-metadata';
import { X509Certificate } from '@peculiar/x509';
import { MoveError } from '../runtime/errors.ts';

export {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  Extension,
  type JsonGeneralNames,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  Pkcs10CertificateRequestGenerator,
  PublicKey,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate as ParsedCertificate,
  X509CertificateGenerator,
  X509Crl,
  X509CrlGenerator,
  X509CrlReason,
} from '@peculiar/x509';

/** How the authority signs everything: ECDSA with SHA-256 on P-256 (RFC 5758). */
export const SIGNING_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/**
 * Parses DER with bounds that no honest certificate reaches.
 * @throws MoveError `CERTIFICATE_FOREIGN` when it cannot be read.
 */
export function parseCertificate(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(new Uint8Array(der));
  } catch (cause) {
    throw new MoveError(
      'CERTIFICATE_FOREIGN',
      'This certificate cannot be read. Ask the administrator for one that this authority issued.',
      {},
      cause,
    );
  }
}
