import { createCipheriv, createPrivateKey, type KeyObject, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { MoveError } from '../runtime/errors.ts';
import { integer, nothing, octets, oid, sequence, toDer } from './der.ts';

const derive = promisify(pbkdf2);

/** PBKDF2-HMAC-SHA-256 rounds for keys that rest on disk: OWASP's figure, a fifth of a second here. */
export const KEY_AT_REST_ROUNDS = 600_000;
/** Rounds for files that people carry to browsers, whose own PBKDF2 is slower. */
export const KEY_IN_TRANSIT_ROUNDS = 100_000;

const OID = {
  pbes2: '1.2.840.113549.1.5.13',
  pbkdf2: '1.2.840.113549.1.5.12',
  hmacSha256: '1.2.840.113549.2.9',
  aes256Cbc: '2.16.840.1.101.3.4.1.42',
} as const;

/**
 * A private key as EncryptedPrivateKeyInfo (RFC 5958 section 3): PBES2 with PBKDF2-HMAC-SHA-256 and
 * AES-256-CBC (RFC 8018). Node can export such a thing itself, but only with OpenSSL's 2,048 rounds.
 */
export async function encryptPrivateKey(key: KeyObject, passphrase: string, rounds: number): Promise<Buffer> {
  const salt = randomBytes(16);
  const vector = randomBytes(16);
  const secret = await derive(Buffer.from(passphrase, 'utf8'), salt, rounds, 32, 'sha256');
  const cipher = createCipheriv('aes-256-cbc', secret, vector);
  const plain = key.export({ type: 'pkcs8', format: 'der' });
  const encrypted = Buffer.concat([cipher.update(plain), cipher.final()]);
  plain.fill(0);
  secret.fill(0);
  const derivation = sequence(
    oid(OID.pbkdf2),
    sequence(octets(salt), integer(rounds), sequence(oid(OID.hmacSha256), nothing())),
  );
  const scheme = sequence(oid(OID.pbes2), sequence(derivation, sequence(oid(OID.aes256Cbc), octets(vector))));
  return toDer(sequence(scheme, octets(encrypted)));
}

/** PEM of {@link encryptPrivateKey}. */
export async function encryptedPrivateKeyPem(
  key: KeyObject,
  passphrase: string,
  rounds: number,
): Promise<string> {
  return pem('ENCRYPTED PRIVATE KEY', await encryptPrivateKey(key, passphrase, rounds));
}

/**
 * Opens an encrypted PKCS#8 key.
 * @throws MoveError `PASSPHRASE_WRONG`; nothing tells a wrong passphrase from a damaged file.
 */
export function decryptPrivateKeyPem(encrypted: string, passphrase: string): KeyObject {
  try {
    return createPrivateKey({ key: encrypted, format: 'pem', passphrase });
  } catch (cause) {
    throw new MoveError(
      'PASSPHRASE_WRONG',
      'The passphrase does not open the key of the authority. Check the passphrase; if it is right, the key file is damaged and must come back from a backup.',
      {},
      cause,
    );
  }
}

/** Wraps DER in PEM with lines of 64 characters (RFC 7468). */
export function pem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
