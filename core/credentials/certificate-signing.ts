import type { KeyObject, webcrypto } from 'node:crypto';
import { X509Certificate } from 'node:crypto';
import { MoveError } from '../runtime/errors.ts';
import { type Random, secureRandom } from '../runtime/random.ts';
import type { CertificateDraft } from './certificate-draft.ts';
import { contextString, sequence, taggedSequence, toDer } from './der.ts';
import { type Identity, readIdentity } from './identity.ts';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  Extension,
  type JsonGeneralNames,
  KeyUsageFlags,
  KeyUsagesExtension,
  PublicKey,
  parseCertificate,
  SIGNING_ALGORITHM,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from './x509.ts';

const NAME_CONSTRAINTS = '2.5.29.30';
/** Tags of GeneralName (RFC 5280 section 4.2.1.6). */
const DNS_NAME = 2;
const IP_ADDRESS = 7;
const USE_OIDS = { serverAuth: '1.3.6.1.5.5.7.3.1', clientAuth: '1.3.6.1.5.5.7.3.2' } as const;

/** What signs: the authority's certificate with its key, in the two forms that the libraries want. */
export interface Signer {
  certificate: X509Certificate;
  signingKey: webcrypto.CryptoKey;
}

/**
 * A random serial number of 128 bits as upper-case hexadecimal. The first octet is 1 to 127, so that the
 * number is positive and every program writes it with the same 32 digits (RFC 5280 section 4.1.2.2).
 */
export function newSerial(random: Random = secureRandom): string {
  const bytes = random.bytes(16);
  bytes[0] = 1 + random.below(127);
  return bytes.toString('hex').toUpperCase();
}

/**
 * Third step of issuance: the draft is fit to be signed, whatever profile made it. It says no more than one
 * identity, lies within the authority's own time, and is not made for the authority's own key.
 * @throws MoveError `CERTIFICATE_UNFIT`.
 */
export function checkDraft(draft: CertificateDraft, signer: Signer): void {
  const spki = draft.publicKey.export({ type: 'spki', format: 'der' });
  const own = signer.certificate.publicKey.export({ type: 'spki', format: 'der' });
  const authorityEnd = signer.certificate.validToDate.getTime();
  const faults = [
    draft.publicKey.type !== 'public' && 'the key is not a public key',
    Buffer.compare(spki, own) === 0 && "the key is the authority's own",
    draft.notAfter <= draft.notBefore && 'it ends before it begins',
    draft.notAfter > authorityEnd && 'it outlives the authority',
    draft.uris.some((uri) => !/^move:\/\/[\x21-\x7e]+$/.test(uri)) &&
      'a claim holds characters that a URI cannot',
    draft.uris.length + draft.addresses.length + draft.hostnames.length > 250 && 'it makes too many claims',
    draft.profile.uses.length === 0 && 'it has no use',
  ].filter((fault) => fault !== false);
  if (faults.length > 0) throw unfit(faults.join('; '));
}

/**
 * Fourth step of issuance: signs, then reads the result back and compares it with the draft, so that what
 * leaves is what was meant.
 * @throws MoveError `CERTIFICATE_UNFIT`.
 */
export async function signDraft(
  draft: CertificateDraft,
  serial: string,
  signer: Signer,
): Promise<{ certificate: X509Certificate; identity: Identity }> {
  const publicKey = new PublicKey(draft.publicKey.export({ type: 'spki', format: 'der' }));
  const authorityKey = new PublicKey(signer.certificate.publicKey.export({ type: 'spki', format: 'der' }));
  const rsa = draft.publicKey.asymmetricKeyType === 'rsa';
  const names: JsonGeneralNames = [
    ...draft.uris.map((value) => ({ type: 'url' as const, value })),
    ...draft.hostnames.map((value) => ({ type: 'dns' as const, value })),
    ...draft.addresses.map((value) => ({ type: 'ip' as const, value })),
  ];
  const signed = await X509CertificateGenerator.create({
    serialNumber: serial.toLowerCase(),
    subject: [{ CN: [commonName(draft)] }],
    issuer: parseCertificate(signer.certificate.raw).subjectName,
    notBefore: new Date(draft.notBefore),
    notAfter: new Date(draft.notAfter),
    publicKey,
    signingKey: signer.signingKey,
    signingAlgorithm: SIGNING_ALGORITHM,
    extensions: [
      ...extensionsOf(draft, rsa),
      new ExtendedKeyUsageExtension(draft.profile.uses.map((use) => USE_OIDS[use])),
      new SubjectAlternativeNameExtension(names),
      await SubjectKeyIdentifierExtension.create(publicKey),
      await AuthorityKeyIdentifierExtension.create(authorityKey),
    ],
  });
  const certificate = new X509Certificate(Buffer.from(signed.rawData));
  const identity = readIdentity(certificate);
  compare(draft, serial, certificate, identity, signer);
  return { certificate, identity };
}

function extensionsOf({ profile, claims }: CertificateDraft, rsa: boolean): Extension[] {
  if (!profile.signs) return endEntity(rsa);
  const names = profile.role === 'organisation' ? onlyNames(claims.services) : noMachineNames();
  return constrainedAuthority(names);
}

function endEntity(rsa: boolean): Extension[] {
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature | (rsa ? KeyUsageFlags.keyEncipherment : 0), true),
  ];
}

/** Signs no further authority, and host names and addresses only as the constraints allow. */
function constrainedAuthority(names: Buffer): Extension[] {
  return [
    new BasicConstraintsExtension(true, 0, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
    new Extension(NAME_CONSTRAINTS, true, new Uint8Array(names)),
  ];
}

/**
 * NameConstraints that permit these DNS names, so that programs which know nothing of MOVE believe an organisation's
 * certificates for its own services alone. Addresses are free: a site may stand anywhere.
 */
function onlyNames(services: readonly string[] | 'any'): Buffer {
  const permitted =
    services === 'any' ? [] : services.map((name) => contextString(DNS_NAME, Buffer.from(name)));
  return toDer(sequence(taggedSequence(0, ...permitted.map((base) => sequence(base)))));
}

/** NameConstraints (RFC 5280 section 4.2.1.10) that exclude every DNS name and every IP address. */
function noMachineNames(): Buffer {
  const excluded = [
    contextString(DNS_NAME, Buffer.alloc(0)),
    contextString(IP_ADDRESS, Buffer.alloc(8)),
    contextString(IP_ADDRESS, Buffer.alloc(32)),
  ];
  return toDer(sequence(taggedSequence(1, ...excluded.map((base) => sequence(base)))));
}

/** Reads a key as WebCrypto wants it, not to be exported again. */
export function toSigningKey(privateKey: KeyObject): webcrypto.CryptoKey {
  return privateKey.toCryptoKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']);
}

function commonName(draft: CertificateDraft): string {
  // X.520 allows 64 characters; the full name always stands in the subjectAltName.
  return draft.claims.name.slice(0, 64);
}

function compare(
  draft: CertificateDraft,
  serial: string,
  certificate: X509Certificate,
  identity: Identity,
  signer: Signer,
): void {
  const same =
    certificate.verify(signer.certificate.publicKey) &&
    certificate.checkIssued(signer.certificate) &&
    certificate.ca === draft.profile.signs &&
    identity.serial === serial &&
    identity.role === draft.claims.role &&
    identity.name === draft.claims.name &&
    JSON.stringify(identity.services) === JSON.stringify(draft.claims.services) &&
    JSON.stringify(identity.sites) === JSON.stringify(draft.claims.sites) &&
    identity.boundAddress === draft.claims.boundAddress &&
    identity.boundAccessPoint === draft.claims.boundAccessPoint &&
    identity.notBefore === draft.notBefore &&
    identity.notAfter === draft.notAfter &&
    JSON.stringify([...identity.addresses].sort()) === JSON.stringify(draft.addresses);
  if (!same) throw unfit('the signed certificate does not say what was asked for');
}

function unfit(why: string): MoveError {
  return new MoveError('CERTIFICATE_UNFIT', `The certificate was not signed: ${why}.`, { reason: why });
}
