import 'reflect-metadata';
import { randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import type { OverlayIdentity } from '../../core/overlay/identity.ts';
import { MoveError } from '../../core/runtime/errors.ts';
import type { LinkIdentity } from '../../core/runtime/link/link-tls.ts';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
x509.cryptoProvider.set(webcrypto as unknown as Parameters<typeof x509.cryptoProvider.set>[0]);

export interface IssueOptions {
  role: string;
  name: string;
  services?: string[];
  boundAddress?: string;
  boundAccessPoint?: string;
  notBefore?: Date;
  notAfter?: Date;
}

export interface TestAuthority {
  certificatePem: string;
  /** Issues for a key that somebody else holds, by its PKCS#10 request. */
  certify(requestPem: string, options: IssueOptions): Promise<{ certificatePem: string }>;
  issue(options: IssueOptions): Promise<LinkIdentity & { certificate: X509Certificate }>;
}

const pem = (label: string, bytes: ArrayBuffer): string =>
  `-----BEGIN ${label}-----\n${Buffer.from(bytes).toString('base64').replace(/.{64}/g, '$&\n').trim()}\n-----END ${label}-----\n`;

/** A certificate authority that lives in a test, issuing what the overlay's rooms expect to meet. */
export async function createTestAuthority(name = 'Test authority'): Promise<TestAuthority> {
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: `01${randomBytes(8).toString('hex')}`,
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - 3_600_000),
    notAfter: new Date(Date.now() + 86_400_000),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 2, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    ],
  });
  const certificatePem = root.toString('pem');
  const sign = async (publicKey: webcrypto.CryptoKey, options: IssueOptions): Promise<string> => {
    const uris = [
      `move://role/${options.role}`,
      `move://name/${options.name}`,
      ...(options.services ?? []).map((service) => `move://service/${service}`),
      ...(options.boundAddress ? [`move://address/${options.boundAddress}`] : []),
      ...(options.boundAccessPoint ? [`move://access-point/${options.boundAccessPoint}`] : []),
    ];
    const issued = await x509.X509CertificateGenerator.create({
      serialNumber: `02${randomBytes(8).toString('hex')}`,
      subject: `CN=${options.name}`,
      issuer: root.subject,
      notBefore: options.notBefore ?? new Date(Date.now() - 60_000),
      notAfter: options.notAfter ?? new Date(Date.now() + 3_600_000),
      signingAlgorithm: algorithm,
      publicKey,
      signingKey: keys.privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([
          x509.ExtendedKeyUsage.clientAuth,
          x509.ExtendedKeyUsage.serverAuth,
        ]),
        new x509.SubjectAlternativeNameExtension(uris.map((value) => ({ type: 'url' as const, value }))),
      ],
    });
    return issued.toString('pem');
  };
  return {
    certificatePem,
    async certify(requestPem, options) {
      const { publicKey } = new x509.Pkcs10CertificateRequest(requestPem);
      return { certificatePem: await sign(await publicKey.export(), options) };
    },
    async issue(options) {
      const own = (await webcrypto.subtle.generateKey(algorithm, true, [
        'sign',
        'verify',
      ])) as webcrypto.CryptoKeyPair;
      const leafPem = await sign(own.publicKey, options);
      return {
        certificatePem: leafPem,
        keyPem: pem('PRIVATE KEY', await webcrypto.subtle.exportKey('pkcs8', own.privateKey)),
        trustPem: [certificatePem],
        certificate: new X509Certificate(leafPem),
      };
    },
  };
}

/** Reads the SAN URIs that the authority writes. */
export function readTestIdentity(certificate: X509Certificate): OverlayIdentity {
  const uris = (certificate.subjectAltName ?? '')
    .split(', ')
    .filter((entry) => entry.startsWith('URI:move://'))
    .map((entry) => entry.slice('URI:move://'.length));
  const all = (kind: string) =>
    uris.filter((uri) => uri.startsWith(`${kind}/`)).map((uri) => uri.slice(kind.length + 1));
  const role = all('role')[0];
  const name = all('name')[0];
  if (!role || !name) throw new MoveError('CERTIFICATE_REJECTED', 'The certificate names no role.');
  return {
    role,
    name,
    services: all('service').includes('*') ? 'any' : all('service'),
    serial: certificate.serialNumber,
    ...(all('address')[0] ? { boundAddress: all('address')[0]! } : {}),
    ...(all('access-point')[0] ? { boundAccessPoint: all('access-point')[0]! } : {}),
  };
}
