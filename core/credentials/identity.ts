import { createHash, type X509Certificate } from 'node:crypto';
import { MoveError } from '../runtime/errors.ts';
import { isMachineName, isServiceName, normaliseAddress } from './names.ts';
import { isRole, type Role } from './roles.ts';

/** Who a certificate speaks for and what it allows; everything stands in the certificate itself. */
export interface Identity {
  role: Role;
  name: string;
  /** Host names of services it may reach or relocate. */
  services: string[] | 'any';
  /** The machines that an organisation may certify as its sites; nobody else's certificate names any. */
  sites?: string[];
  /** Upper-case hexadecimal, as `X509Certificate.serialNumber` writes it. */
  serial: string;
  /** SHA-256 of the certificate, lower-case hexadecimal without colons. */
  fingerprint: string;
  /** SHA-256 of the public key (SubjectPublicKeyInfo), lower-case hexadecimal; stays when a certificate is renewed. */
  keyFingerprint: string;
  /** Milliseconds since the epoch. */
  notBefore: number;
  /** Milliseconds since the epoch. */
  notAfter: number;
  /** The only address it may be used from (a person admitted by the human test). */
  boundAddress?: string;
  /** The only access point it may enter by. */
  boundAccessPoint?: string;
  /** IP addresses of the machine itself (subjectAltName iPAddress). */
  addresses: string[];
}

/** What the identity URIs of a certificate say: the part of an {@link Identity} that an issuer decides. */
export interface Claims {
  role: Role;
  name: string;
  services: string[] | 'any';
  sites?: string[];
  boundAddress?: string;
  boundAccessPoint?: string;
}

const SCHEME = 'move://';

/** The URIs that carry claims in a certificate's subjectAltName (RFC 5280 section 4.2.1.6). */
export function claimUris(claims: Claims): string[] {
  const services = claims.services === 'any' ? ['*'] : claims.services;
  return [
    `${SCHEME}role/${claims.role}`,
    `${SCHEME}name/${encodeURIComponent(claims.name)}`,
    ...services.map((service) => `${SCHEME}service/${service}`),
    ...(claims.sites ?? []).map((site) => `${SCHEME}site/${site}`),
    ...(claims.boundAddress === undefined ? [] : [`${SCHEME}address/${claims.boundAddress}`]),
    ...(claims.boundAccessPoint === undefined ? [] : [`${SCHEME}access-point/${claims.boundAccessPoint}`]),
  ];
}

/**
 * Reads who a certificate speaks for. It checks the form only, not the signature: call `authorise` before
 * believing it. Unknown `move://` URIs are refused, since they might restrict what the certificate allows.
 *
 * @throws MoveError `CERTIFICATE_FOREIGN` when the certificate carries no well-formed MOVE identity.
 */
export function readIdentity(certificate: X509Certificate): Identity {
  const fingerprint = certificate.fingerprint256.replaceAll(':', '').toLowerCase();
  const known = read.get(fingerprint);
  if (known) return structuredClone(known);
  const identity = parseIdentity(certificate, fingerprint);
  if (read.size >= READ_LIMIT) read.clear();
  read.set(fingerprint, identity);
  return structuredClone(identity);
}

/** Identities by fingerprint: location records carry the same few certificates again and again. */
const read = new Map<string, Identity>();
const READ_LIMIT = 2_048;

function parseIdentity(certificate: X509Certificate, fingerprint: string): Identity {
  const names = subjectAlternativeNames(certificate);
  const claims = readClaims(names.uris);
  return {
    ...claims,
    serial: certificate.serialNumber,
    fingerprint,
    keyFingerprint: createHash('sha256')
      .update(certificate.publicKey.export({ type: 'spki', format: 'der' }))
      .digest('hex'),
    notBefore: certificate.validFromDate.getTime(),
    notAfter: certificate.validToDate.getTime(),
    addresses: names.addresses,
  };
}

/** Whether the identity's scope holds the service; host names compare without regard to case. */
export function allowsService(identity: Pick<Identity, 'services'>, hostname: string): boolean {
  const wanted = hostname.toLowerCase();
  if (!isServiceName(wanted)) return false;
  return identity.services === 'any' || identity.services.includes(wanted);
}

/** One name in Node's text: bare, or a JSON string where it holds anything that could end it. */
const ALTERNATIVE_NAME = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;

/**
 * Reads Node's one-line text, which quotes every name that could pose as several, and refuses what it cannot
 * read to the end. Parsing the DER again in JavaScript costs a cold process 5 to 15 ms a certificate: too much
 * where a site that has just taken a service over hears from every overlay node at once.
 */
function subjectAlternativeNames(certificate: X509Certificate): { uris: string[]; addresses: string[] } {
  const text = certificate.subjectAltName ?? '';
  const uris: string[] = [];
  const addresses: string[] = [];
  ALTERNATIVE_NAME.lastIndex = 0;
  while (ALTERNATIVE_NAME.lastIndex < text.length) {
    const found = ALTERNATIVE_NAME.exec(text);
    if (found === null) throw foreign('its names cannot be read');
    const [, kind, written] = found;
    const value = written!.startsWith('"') ? unquote(written!) : written!;
    if (kind === 'URI') uris.push(value);
    if (kind !== 'IP Address') continue;
    const address = normaliseAddress(value);
    if (address === null) throw foreign('an address in it cannot be read');
    addresses.push(address);
  }
  return { uris, addresses };
}

function unquote(written: string): string {
  try {
    return String(JSON.parse(written));
  } catch (cause) {
    throw foreign('its names cannot be read', cause);
  }
}

function readClaims(uris: readonly string[]): Claims {
  const found = new Map<string, string[]>();
  for (const uri of uris) {
    if (!uri.startsWith(SCHEME)) continue;
    const slash = uri.indexOf('/', SCHEME.length);
    const kind = slash < 0 ? '' : uri.slice(SCHEME.length, slash);
    if (!['role', 'name', 'service', 'site', 'address', 'access-point'].includes(kind)) {
      throw foreign(`it carries a claim that this version does not know (${uri.slice(0, 80)})`);
    }
    const values = found.get(kind) ?? [];
    values.push(uri.slice(slash + 1));
    found.set(kind, values);
  }
  const role = only(found, 'role');
  const encodedName = only(found, 'name');
  if (role === undefined || encodedName === undefined || !isRole(role)) {
    throw foreign('it names no role and no holder');
  }
  const boundAddress = only(found, 'address');
  const normalised = boundAddress === undefined ? undefined : normaliseAddress(boundAddress);
  if (normalised === null) throw foreign('the address it is bound to cannot be read');
  const boundAccessPoint = only(found, 'access-point');
  return {
    role,
    name: decodeName(encodedName),
    services: readServices(found.get('service') ?? []),
    ...readSites(role, found.get('site')),
    ...(normalised === undefined ? {} : { boundAddress: normalised }),
    ...(boundAccessPoint === undefined ? {} : { boundAccessPoint }),
  };
}

function readServices(values: readonly string[]): string[] | 'any' {
  if (values.includes('*')) return 'any';
  for (const value of values)
    if (!isServiceName(value)) throw foreign(`"${value.slice(0, 80)}" is not a service name`);
  return [...new Set(values)].sort();
}

function readSites(role: Role, values: readonly string[] | undefined): { sites?: string[] } {
  if (values === undefined) return {};
  if (role !== 'organisation') throw foreign(`a ${role} names no sites`);
  for (const value of values)
    if (!isMachineName(value)) throw foreign(`"${value.slice(0, 80)}" is not a machine name`);
  return { sites: [...new Set(values)].sort() };
}

function only(found: ReadonlyMap<string, string[]>, kind: string): string | undefined {
  const values = found.get(kind) ?? [];
  if (values.length > 1) throw foreign(`it makes the claim "${kind}" more than once`);
  return values[0];
}

function decodeName(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch (cause) {
    throw foreign('its name cannot be read', cause);
  }
}

function foreign(why: string, cause?: unknown): MoveError {
  return new MoveError(
    'CERTIFICATE_FOREIGN',
    `This certificate was not issued for MOVE: ${why}. Ask the administrator for one that this authority issued.`,
    { reason: why },
    cause,
  );
}
