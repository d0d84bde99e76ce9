import { createPublicKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import { MoveError } from '../runtime/errors.ts';
import { isMachineName, isPersonName, isServiceName, normaliseAddress } from './names.ts';
import { type Profile, profileNamed } from './profiles.ts';
import { Pkcs10CertificateRequest } from './x509.ts';

const address = z.string().transform((text, context) => {
  const normalised = normaliseAddress(text);
  if (normalised !== null) return normalised;
  context.addIssue({ code: 'custom', message: `"${text}" is not an IP address` });
  return z.NEVER;
});
const serviceName = z
  .string()
  .refine(isServiceName, { error: (issue) => `"${String(issue.input)}" is not a host name in lower case` });
const machineName = z
  .string()
  .refine(isMachineName, 'is not a machine name (lower case, at most 63 characters)');

const subjectSchema = z.strictObject({
  profile: z.string(),
  /** A machine's name, a service's host name or a person's name, as the profile says. */
  name: z.string().min(1).max(253),
  /** Scope, where the profile lets the request choose one. */
  services: z.union([z.literal('any'), z.array(serviceName).max(100)]).optional(),
  /** The machines that an organisation may certify as its sites. */
  sites: z.array(machineName).max(100).optional(),
  addresses: z.array(address).max(16).optional(),
  hostnames: z.array(serviceName).max(100).optional(),
  boundAddress: address.optional(),
  boundAccessPoint: machineName.optional(),
  /** Milliseconds from now; the profile's default when left out. */
  lifetimeMs: z.number().int().positive().optional(),
});

const keySchema = z.union([
  z.strictObject({ publicKeyPem: z.string().max(16_384) }),
  z.strictObject({ requestPem: z.string().max(65_536) }),
]);

/** What is asked of the authority, apart from the key. */
export type SubjectRequest = z.input<typeof subjectSchema>;
/** The key that is to be certified: bare, or in a PKCS#10 request that proves possession of its private half. */
export type KeyRequest = z.input<typeof keySchema>;
export type IssueRequest = SubjectRequest & { key: KeyRequest };

export interface CheckedRequest extends Omit<z.output<typeof subjectSchema>, 'profile'> {
  profile: Profile;
}

/**
 * First step of issuance: the request has the right form and the name fits the profile.
 * @throws MoveError `REQUEST_INVALID`, `PROFILE_UNKNOWN`.
 */
export function checkSubjectRequest(request: unknown): CheckedRequest {
  const parsed = subjectSchema.safeParse(request);
  if (!parsed.success) throw invalid(parsed.error.issues.map(describeIssue).join('; '));
  const profile = profileNamed(parsed.data.profile);
  const { name } = parsed.data;
  const fits = { machine: isMachineName, service: isServiceName, person: isPersonName }[profile.naming];
  if (!fits(name)) {
    throw invalid(
      `the name "${name.slice(0, 80)}" does not fit the profile ${profile.name}, which needs a ${profile.naming}'s name`,
    );
  }
  return { ...parsed.data, profile };
}

/**
 * Reads the key to be certified and, from a PKCS#10 request (RFC 2986), checks that the asker holds its
 * private half. Of a request only the key and the name count: what is granted is not the asker's to say.
 * @throws MoveError `REQUEST_INVALID`, `REQUEST_UNPROVEN`, `KEY_WEAK`.
 */
export async function checkKeyRequest(request: unknown, name: string): Promise<KeyObject> {
  const parsed = keySchema.safeParse(request);
  if (!parsed.success) throw invalid('give either publicKeyPem or requestPem');
  const key =
    'publicKeyPem' in parsed.data
      ? readPublicKey(parsed.data.publicKeyPem)
      : await readCertificateRequest(parsed.data.requestPem, name);
  checkKeyStrength(key);
  return key;
}

function readPublicKey(publicKeyPem: string): KeyObject {
  // createPublicKey would also take a private key, which nobody should ever send here.
  if (!publicKeyPem.trimStart().startsWith('-----BEGIN PUBLIC KEY-----')) {
    throw invalid('the public key is not in PEM ("BEGIN PUBLIC KEY")');
  }
  try {
    return createPublicKey(publicKeyPem);
  } catch (cause) {
    throw invalid('the public key cannot be read', cause);
  }
}

async function readCertificateRequest(requestPem: string, name: string): Promise<KeyObject> {
  let request: Pkcs10CertificateRequest;
  let key: KeyObject;
  let proven: boolean;
  try {
    request = new Pkcs10CertificateRequest(requestPem);
    key = createPublicKey({ key: Buffer.from(request.publicKey.rawData), type: 'spki', format: 'der' });
  } catch (cause) {
    throw invalid('the certificate request cannot be read', cause);
  }
  try {
    proven = await request.verify();
  } catch (cause) {
    throw unproven(cause);
  }
  if (!proven) throw unproven();
  const named = request.subjectName.getField('CN');
  if (named.length !== 1 || named[0] !== name) {
    throw invalid(`the certificate request is for "${named.join(', ').slice(0, 80)}", not for "${name}"`);
  }
  return key;
}

function checkKeyStrength(key: KeyObject): void {
  const details = key.asymmetricKeyDetails ?? {};
  const bits = details.modulusLength ?? 0;
  const strong =
    key.asymmetricKeyType === 'ed25519' ||
    (key.asymmetricKeyType === 'ec' && ['prime256v1', 'secp384r1'].includes(details.namedCurve ?? '')) ||
    (key.asymmetricKeyType === 'rsa' &&
      bits >= 2048 &&
      bits <= 8192 &&
      (details.publicExponent ?? 0n) >= 65537n);
  if (strong) return;
  throw new MoveError(
    'KEY_WEAK',
    'This kind of key is not certified. Make a P-256, P-384 or Ed25519 key, or an RSA key of 2,048 to 8,192 bits.',
    { type: key.asymmetricKeyType ?? 'unknown', curve: details.namedCurve ?? null, bits },
  );
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const where = issue.path.join('.');
  return where ? `${where}: ${issue.message}` : issue.message;
}

function unproven(cause?: unknown): MoveError {
  return new MoveError(
    'REQUEST_UNPROVEN',
    'The certificate request is not signed by the key that it carries. Make a new request with the right key.',
    {},
    cause,
  );
}

function invalid(why: string, cause?: unknown): MoveError {
  return new MoveError(
    'REQUEST_INVALID',
    `The certificate cannot be issued: ${why}.`,
    { reason: why },
    cause,
  );
}
