import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readPkcs12 } from '../../../core/cli/read-pkcs12.ts';
import { authorise } from '../../../core/credentials/authorise.ts';
import { type Authority, createAuthority } from '../../../core/credentials/authority.ts';
import { toSigningKey } from '../../../core/credentials/certificate-signing.ts';
import { ConstrainedAuthority } from '../../../core/credentials/constrained-authority.ts';
import {
  ExtendedKeyUsageExtension,
  PublicKey,
  parseCertificate,
  SIGNING_ALGORITHM,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '../../../core/credentials/x509.ts';
import { runProgram } from '../../../core/runtime/process.ts';
import { handClock, keyFor, PASSPHRASE, temporaryDirectory, withCode } from './helpers.ts';

const directory = temporaryDirectory();
const clock = handClock();
const address = '10.9.0.2';
const minutes = 60_000;
let authority: Authority;
let constrained: ConstrainedAuthority;
let constrainedKeyPem: string;

beforeAll(async () => {
  authority = await createAuthority({
    directory: join(directory.path, 'authority'),
    passphrase: PASSPHRASE,
    clock,
  });
  const { privateKeyPem, key } = await keyFor('node-3');
  constrainedKeyPem = privateKeyPem;
  const { certificatePem } = await authority.issue({
    profile: 'access-point',
    name: 'node-3',
    services: ['shop.example', 'wiki.example'],
    key,
  });
  constrained = new ConstrainedAuthority({
    certificatePem,
    keyPem: privateKeyPem,
    authorityPem: authority.certificatePem,
    clock,
  });
});
afterAll(() => {
  authority.close();
  directory.remove();
});

const rules = () => ({
  trust: [authority.certificate],
  constrained: constrained.certificate,
  revoked: new Set<string>(),
  clock,
  peerAddress: address,
  accessPoint: 'node-3',
});
const visitor = () =>
  constrained.admit({
    name: 'visitor 1',
    services: ['shop.example'],
    address,
    lifetimeMs: 30 * minutes,
  });

/** What somebody who has stolen the access point's key could sign with it. */
async function rogue(uris: readonly string[], signer = constrained.certificate, keyPem = constrainedKeyPem) {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const made = await X509CertificateGenerator.create({
    serialNumber: '0123456789',
    subject: 'CN=rogue',
    issuer: parseCertificate(signer.raw).subjectName,
    notBefore: new Date(clock.now() - 1000),
    notAfter: new Date(clock.now() + 30 * minutes),
    publicKey: new PublicKey(pair.publicKey.export({ type: 'spki', format: 'der' })),
    signingKey: toSigningKey(createPrivateKey(keyPem)),
    signingAlgorithm: SIGNING_ALGORITHM,
    extensions: [
      new ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.2']),
      new SubjectAlternativeNameExtension(uris.map((value) => ({ type: 'url' as const, value }))),
    ],
  });
  const leaf = new X509Certificate(Buffer.from(made.rawData));
  return leaf;
}
const client = [
  'move://role/client',
  'move://name/rogue',
  'move://service/shop.example',
  `move://address/${address}`,
  'move://access-point/node-3',
];

describe('an access point’s constrained authority', () => {
  it('admits a visitor at that access point, from that address, for that service and that time', async () => {
    const made = await visitor();
    const shown = new X509Certificate(made.certificatePem);
    expect(authorise(shown, { ...rules(), expectRole: 'client', expectService: 'shop.example' })).toEqual(
      made.identity,
    );
    expect(made.identity).toMatchObject({ boundAddress: address, boundAccessPoint: 'node-3' });
    const refused = (change: object, code: string) =>
      expect(() => authorise(shown, { ...rules(), ...change })).toThrow(withCode(code));
    refused({ peerAddress: '10.9.0.3' }, 'ADDRESS_DENIED');
    refused({ peerAddress: undefined }, 'ADDRESS_DENIED');
    refused({ accessPoint: 'node-4' }, 'ACCESS_POINT_DENIED');
    refused({ accessPoint: undefined }, 'ACCESS_POINT_DENIED');
    refused({ expectService: 'wiki.example' }, 'SCOPE_DENIED');
    refused({ expectRole: 'overlay' }, 'ROLE_DENIED');
    refused({ clock: { now: () => clock.now() + 31 * minutes } }, 'CERTIFICATE_EXPIRED');
    refused({ revoked: new Set([made.identity.serial]) }, 'CERTIFICATE_REVOKED');
    refused({ revoked: new Set([constrained.certificate.serialNumber]) }, 'CERTIFICATE_REVOKED');
    refused({ trust: [] }, 'CERTIFICATE_FOREIGN');
  });

  it('is believed at its own access point alone, and is no peer itself', async () => {
    const made = new X509Certificate((await visitor()).certificatePem);
    expect(() => authorise(made, { ...rules(), constrained: undefined })).toThrow(
      withCode('CERTIFICATE_FOREIGN'),
    );
    expect(() => authorise(constrained.certificate, rules())).toThrow(withCode('CERTIFICATE_FOREIGN'));
  });

  it('does not sign for services that are not open, for no address, or for longer than its own time', async () => {
    const request = { name: 'v', services: ['shop.example'], address, lifetimeMs: 30 * minutes };
    await expect(constrained.admit({ ...request, services: ['bank.example'] })).rejects.toThrow(
      withCode('SCOPE_DENIED'),
    );
    await expect(constrained.admit({ ...request, address: 'nowhere' })).rejects.toThrow(
      withCode('REQUEST_INVALID'),
    );
    await expect(constrained.admit({ ...request, lifetimeMs: 365 * 24 * 60 * minutes })).rejects.toThrow(
      withCode('LIFETIME_DENIED'),
    );
  });

  it.each([
    ['another role', client.map((uri) => uri.replace('role/client', 'role/overlay'))],
    ['the console', client.map((uri) => uri.replace('role/client', 'role/console'))],
    ['a service beyond its scope', [...client, 'move://service/bank.example']],
    ['every service', [...client, 'move://service/*']],
    ['no address', client.filter((uri) => !uri.startsWith('move://address/'))],
    ['no access point', client.filter((uri) => !uri.startsWith('move://access-point/'))],
    ['another access point', client.map((uri) => uri.replace('access-point/node-3', 'access-point/node-4'))],
  ])('is worth nothing where its key signs %s', async (_what, uris) => {
    const shown = await rogue(uris);
    for (const accessPoint of ['node-3', 'node-4'])
      expect(() => authorise(shown, { ...rules(), accessPoint })).toThrow(
        withCode('CERTIFICATE_OVERREACHED'),
      );
  });

  it('gives no other certificate of the authority the power to sign', async () => {
    const { privateKeyPem, key } = await keyFor('node-3');
    const { certificatePem } = await authority.issue({
      profile: 'overlay',
      name: 'node-3',
      addresses: ['127.0.0.1'],
      key,
    });
    const node = new X509Certificate(certificatePem);
    const shown = await rogue(client, node, privateKeyPem);
    for (const given of [node, constrained.certificate])
      expect(() => authorise(shown, { ...rules(), constrained: given })).toThrow(
        withCode('CERTIFICATE_FOREIGN'),
      );
  });

  it('packs the visitor’s key with both certificates, so that the forwarder can show the chain', async () => {
    const made = await visitor();
    const { pkcs12, password } = await constrained.pack(made);
    const opened = readPkcs12(pkcs12, password);
    expect(opened.certificatePem).toBe(made.certificatePem);
    expect(createPrivateKey(opened.keyPem).equals(made.privateKey)).toBe(true);
  });

  it.skipIf(!existsSync('/usr/bin/openssl'))(
    'passes openssl’s strict verification, for clients and as no server',
    async () => {
      const made = await visitor();
      const path = (name: string, text: string) => {
        const file = join(directory.path, name);
        writeFileSync(file, text);
        return file;
      };
      const root = path('root.pem', authority.certificatePem);
      const between = path('between.pem', String(constrained.certificate));
      const leaf = path('leaf.pem', made.certificatePem);
      const verify = (purpose: string) =>
        runProgram(
          'openssl',
          ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', root, '-untrusted', between, leaf],
          { timeoutMs: 10_000 },
        );
      expect(await verify('sslclient')).toMatchObject({ code: 0 });
      expect(await verify('sslserver')).not.toMatchObject({ code: 0 });
      const text = await runProgram('openssl', ['x509', '-noout', '-text', '-in', between], {
        timeoutMs: 10_000,
      });
      expect(text.stdout).toContain('CA:TRUE, pathlen:0');
      expect(text.stdout).toMatch(
        /Name Constraints: critical\s+Excluded:\s+DNS:\s+IP:0\.0\.0\.0\/0\.0\.0\.0/,
      );
      expect(text.stdout).toContain('Key Usage: critical\n                Certificate Sign');
    },
  );
});
