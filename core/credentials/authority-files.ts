import { createPrivateKey, generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { MoveError } from '../runtime/errors.ts';
import { newSerial, type Signer, toSigningKey } from './certificate-signing.ts';
import { decryptPrivateKeyPem, encryptedPrivateKeyPem, KEY_AT_REST_ROUNDS } from './encrypted-key.ts';
import { readIdentity } from './identity.ts';
import { generateKeyAndRequest } from './key-request.ts';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PublicKey,
  SIGNING_ALGORITHM,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from './x509.ts';

const KEY_FILE = 'authority-key.pem';
const CERTIFICATE_FILE = 'authority.pem';
const REQUEST_FILE = 'authority-request.pem';
const OPERATOR_FILE = 'operator.pem';
export const ISSUED_FILE = 'issued.sqlite';

const DAY_MS = 86_400_000;
/** How long a new root certificate lives. */
const ROOT_LIFETIME_MS = 3650 * DAY_MS;
const SHORTEST_PASSPHRASE = 8;

/**
 * Makes the root key and its self-signed certificate and puts them on disk: the directory for its owner only
 * (0700), the key encrypted (0600). The certificate is written last: without it there is no authority, so a
 * crash half-way leaves nothing that would be mistaken for one.
 * @throws MoveError `AUTHORITY_EXISTS`, `PASSPHRASE_TOO_SHORT`.
 */
export async function writeAuthority(
  directory: string,
  passphrase: string,
  commonName: string | undefined,
  now: number,
): Promise<void> {
  await prepareDirectory(directory, passphrase);
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  // Two authorities never share a name: programs that index by issuer and serial would mix them up.
  const name = commonName ?? `MOVE authority ${randomBytes(4).toString('hex')}`;
  const spki = new PublicKey(publicKey.export({ type: 'spki', format: 'der' }));
  const second = Math.floor(now / 1000) * 1000;
  const root = await X509CertificateGenerator.create({
    serialNumber: newSerial().toLowerCase(),
    subject: [{ CN: [name] }],
    issuer: [{ CN: [name] }],
    notBefore: new Date(second - DAY_MS),
    notAfter: new Date(second + ROOT_LIFETIME_MS),
    publicKey: spki,
    signingKey: toSigningKey(privateKey),
    signingAlgorithm: SIGNING_ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(true, 1, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(spki),
      await AuthorityKeyIdentifierExtension.create(spki),
    ],
  });
  const encrypted = await encryptedPrivateKeyPem(privateKey, passphrase, KEY_AT_REST_ROUNDS);
  await writeDurably(directory, KEY_FILE, encrypted, 0o600);
  await writeDurably(directory, CERTIFICATE_FILE, `${root.toString('pem')}\n`, 0o644);
}

/**
 * Makes the key of an organisation's authority and a request for its certificate, which the operator of the overlay
 * signs. Asked again, it returns the request that is there. Until `adoptCertificate` there is no authority.
 * @throws MoveError `AUTHORITY_EXISTS`, `PASSPHRASE_TOO_SHORT`.
 */
export async function writeAuthorityRequest(
  directory: string,
  passphrase: string,
  organisation: string,
): Promise<string> {
  await prepareDirectory(directory, passphrase);
  if (await exists(join(directory, REQUEST_FILE))) return await readIn(directory, REQUEST_FILE);
  const { privateKeyPem, requestPem } = await generateKeyAndRequest(organisation);
  const key = createPrivateKey(privateKeyPem);
  await writeDurably(
    directory,
    KEY_FILE,
    await encryptedPrivateKeyPem(key, passphrase, KEY_AT_REST_ROUNDS),
    0o600,
  );
  await writeDurably(directory, REQUEST_FILE, requestPem, 0o644);
  return requestPem;
}

/**
 * Takes the certificate that the operator signed: from now on there is an authority, within its scope.
 * @throws MoveError `AUTHORITY_EXISTS`, `AUTHORITY_MISSING`, `PASSPHRASE_WRONG`, `PASSPHRASE_TOO_SHORT`,
 * `AUTHORITY_UNREADABLE` when the certificate is for another key, for no organisation or not of that operator.
 */
export async function adoptCertificate(
  directory: string,
  passphrase: string,
  certificatePem: string,
  operatorPem: string,
): Promise<void> {
  await prepareDirectory(directory, passphrase);
  const key = decryptPrivateKeyPem(await readIn(directory, KEY_FILE), passphrase);
  const certificate = readCertificate(certificatePem, directory);
  const operator = readCertificate(operatorPem, directory);
  const fits =
    certificate.ca &&
    operator.ca &&
    certificate.checkPrivateKey(key) &&
    certificate.checkIssued(operator) &&
    certificate.verify(operator.publicKey) &&
    readIdentity(certificate).role === 'organisation';
  if (!fits) throw unreadable(directory);
  await writeDurably(directory, OPERATOR_FILE, operator.toString(), 0o644);
  await writeDurably(directory, CERTIFICATE_FILE, certificate.toString(), 0o644);
}

/** The certificate of the overlay's operator where the authority is an organisation's, else null. */
export async function readOperator(directory: string): Promise<X509Certificate | null> {
  if (!(await exists(join(directory, OPERATOR_FILE)))) return null;
  return readCertificate(await readIn(directory, OPERATOR_FILE), directory);
}

async function prepareDirectory(directory: string, passphrase: string): Promise<void> {
  if (passphrase.length < SHORTEST_PASSPHRASE) {
    throw new MoveError(
      'PASSPHRASE_TOO_SHORT',
      `The passphrase of the authority needs at least ${SHORTEST_PASSPHRASE} characters. Choose a longer one.`,
    );
  }
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
  if (!(await exists(join(directory, CERTIFICATE_FILE)))) return;
  throw new MoveError(
    'AUTHORITY_EXISTS',
    `There is an authority in ${directory} already. Open it, or choose an empty directory for a new one.`,
    { directory },
  );
}

/**
 * Reads the authority back.
 * @throws MoveError `AUTHORITY_MISSING`, `AUTHORITY_EXPOSED` (others may read the key), `PASSPHRASE_WRONG`,
 * `AUTHORITY_UNREADABLE` (key and certificate do not belong together).
 */
export async function readAuthority(directory: string, passphrase: string): Promise<Signer> {
  const certificatePem = await readIn(directory, CERTIFICATE_FILE);
  const encrypted = await readIn(directory, KEY_FILE);
  const mode = (await stat(join(directory, KEY_FILE))).mode & 0o777;
  if ((mode & 0o077) !== 0) {
    throw new MoveError(
      'AUTHORITY_EXPOSED',
      `Others on this machine may read the key of the authority (mode ${mode.toString(8)}). Run "chmod 600" on ${KEY_FILE} in ${directory}, and make a new authority if somebody may have copied it.`,
      { directory, mode },
    );
  }
  const privateKey = decryptPrivateKeyPem(encrypted, passphrase);
  const certificate = readCertificate(certificatePem, directory);
  if (!certificate.checkPrivateKey(privateKey)) throw unreadable(directory);
  return { certificate, signingKey: toSigningKey(privateKey) };
}

/** Whether a directory holds an authority; needs no passphrase. */
export function authorityExists(directory: string): Promise<boolean> {
  return exists(join(directory, CERTIFICATE_FILE));
}

function readCertificate(certificatePem: string, directory: string): X509Certificate {
  try {
    return new X509Certificate(certificatePem);
  } catch (cause) {
    throw unreadable(directory, cause);
  }
}

async function readIn(directory: string, file: string): Promise<string> {
  try {
    return await readFile(join(directory, file), 'utf8');
  } catch (cause) {
    throw new MoveError(
      'AUTHORITY_MISSING',
      `There is no authority in ${directory} (${file} cannot be read). Make one first, or check the directory.`,
      { directory, file },
      cause,
    );
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw cause;
  }
}

async function writeDurably(directory: string, file: string, text: string, mode: number): Promise<void> {
  const temporary = join(directory, `.${file}.${randomBytes(6).toString('hex')}`);
  try {
    const handle = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode);
    try {
      await handle.writeFile(text);
      await handle.chmod(mode);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, join(directory, file));
  } finally {
    await rm(temporary, { force: true });
  }
  const folder = await open(directory, constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function unreadable(directory: string, cause?: unknown): MoveError {
  return new MoveError(
    'AUTHORITY_UNREADABLE',
    `The key and the certificate of the authority in ${directory} do not belong together. Restore both from the same backup.`,
    { directory },
    cause,
  );
}
