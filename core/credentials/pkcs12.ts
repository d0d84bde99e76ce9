import { createHmac, type KeyObject, randomBytes, randomInt, X509Certificate } from 'node:crypto';
import forge from 'node-forge';
import { MoveError } from '../runtime/errors.ts';
import { bmpString, fromDer, integer, nothing, octets, oid, sequence, set, tagged, toDer } from './der.ts';
import { encryptPrivateKey, KEY_IN_TRANSIT_ROUNDS } from './encrypted-key.ts';

type Node = forge.asn1.Asn1;

const OID = {
  data: '1.2.840.113549.1.7.1',
  shroudedKeyBag: '1.2.840.113549.1.12.10.1.2',
  certificateBag: '1.2.840.113549.1.12.10.1.3',
  x509Certificate: '1.2.840.113549.1.9.22.1',
  friendlyName: '1.2.840.113549.1.9.20',
  localKeyId: '1.2.840.113549.1.9.21',
  sha256: '2.16.840.1.101.3.4.2.1',
} as const;

/** PKCS#12 integrity rounds: what OpenSSL 3 writes, understood everywhere. */
const INTEGRITY_ROUNDS = 2048;
const INTEGRITY_KEY = 3;

export interface Pkcs12Content {
  privateKey: KeyObject;
  certificatePem: string;
  /** Authorities between the certificate and the root, nearest first. */
  chainPem?: readonly string[];
  /** The authority, so that an import brings the trust along. */
  authorityPem: string;
  /** What certificate pickers show. */
  friendlyName: string;
  /** 8 to 128 printable ASCII characters: programs disagree about how others are encoded. */
  password: string;
}

/**
 * Packs a key with its certificate and the authority's as PKCS#12 (RFC 7292): the key under PBES2 with
 * AES-256, everything under HMAC-SHA-256. Opens in OpenSSL 3 without -legacy, in NSS and in browsers.
 * node-forge's own packer knows RSA keys only, so its DER and key derivation are used and the container,
 * which treats keys and certificates as opaque, is built here.
 *
 * @throws MoveError `PASSWORD_UNSUITABLE`.
 */
export async function createPkcs12(content: Pkcs12Content): Promise<Buffer> {
  checkPassword(content.password);
  const certificate = new X509Certificate(content.certificatePem);
  const authority = new X509Certificate(content.authorityPem);
  const keyId = Buffer.from(certificate.fingerprint.replaceAll(':', ''), 'hex');
  const attributes = set(
    attribute(OID.friendlyName, bmpString(content.friendlyName)),
    attribute(OID.localKeyId, octets(keyId)),
  );
  const key = await encryptPrivateKey(content.privateKey, content.password, KEY_IN_TRANSIT_ROUNDS);
  const certificates = sequence(
    bag(certificate.raw, attributes),
    ...(content.chainPem ?? []).map((chained) => bag(new X509Certificate(chained).raw)),
    bag(authority.raw),
  );
  const keys = sequence(sequence(oid(OID.shroudedKeyBag), tagged(0, fromDer(key)), attributes));
  const safe = toDer(sequence(dataContent(toDer(certificates)), dataContent(toDer(keys))));
  return toDer(sequence(integer(3), dataContent(safe), integrity(safe, content.password)));
}

/** A password of 20 letters and digits without look-alikes (about 99 bits), to hand out with a PKCS#12 file. */
export function generatePassword(): string {
  const alphabet = 'abcdefghjkmnpqrstuvwxyz23456789';
  return Array.from({ length: 20 }, () => alphabet[randomInt(alphabet.length)]).join('');
}

export function checkPassword(password: string): void {
  if (/^[\x20-\x7e]{8,128}$/.test(password)) return;
  throw new MoveError(
    'PASSWORD_UNSUITABLE',
    'The password of a certificate file needs 8 to 128 characters, all of them plain ASCII, so that every browser can open it. Choose another, or leave it out to have one made.',
  );
}

function bag(certificate: Uint8Array, attributes?: Node): Node {
  const value = sequence(oid(OID.x509Certificate), tagged(0, octets(certificate)));
  const parts = [oid(OID.certificateBag), tagged(0, value)];
  return sequence(...parts, ...(attributes ? [attributes] : []));
}

function attribute(type: string, value: Node): Node {
  return sequence(oid(type), set(value));
}

function dataContent(bytes: Uint8Array): Node {
  return sequence(oid(OID.data), tagged(0, octets(bytes)));
}

function integrity(safe: Buffer, password: string): Node {
  const salt = randomBytes(16);
  const derived = forge.pkcs12.generateKey(
    password,
    forge.util.createBuffer(salt.toString('latin1')),
    INTEGRITY_KEY,
    INTEGRITY_ROUNDS,
    32,
    forge.md.sha256.create(),
  );
  const digest = createHmac('sha256', Buffer.from(derived.getBytes(), 'latin1')).update(safe).digest();
  const algorithm = sequence(oid(OID.sha256), nothing());
  return sequence(sequence(algorithm, octets(digest)), octets(salt), integer(INTEGRITY_ROUNDS));
}
