import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { readIdentity } from '../../../core/credentials/identity.ts';
import { isPersonName, isServiceName, normaliseAddress } from '../../../core/credentials/names.ts';
import {
  type JsonGeneralNames,
  SIGNING_ALGORITHM,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '../../../core/credentials/x509.ts';
import { withCode } from './helpers.ts';

/** A certificate with whatever names, as somebody hostile might have had it signed. */
async function withNames(names: JsonGeneralNames): Promise<X509Certificate> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const made = await X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: 'CN=test',
    keys: {
      privateKey: privateKey.toCryptoKey(SIGNING_ALGORITHM, false, ['sign']),
      publicKey: publicKey.toCryptoKey(SIGNING_ALGORITHM, true, ['verify']),
    },
    signingAlgorithm: SIGNING_ALGORITHM,
    extensions: names.length > 0 ? [new SubjectAlternativeNameExtension(names)] : [],
  });
  return new X509Certificate(Buffer.from(made.rawData));
}
const uris = (...values: string[]): JsonGeneralNames => values.map((value) => ({ type: 'url', value }));

describe('readIdentity', () => {
  it('reads names as they were written, never as several', async () => {
    const certificate = await withNames(
      uris('move://role/client', 'move://name/Eve', 'http://x/, URI:move://service/*'),
    );
    expect(readIdentity(certificate).services).toEqual([]);
  });

  it.each([
    ['a comma and a quote', 'x", URI:move://service/*, URI:"y'],
    ['a backslash', 'x\\", URI:move://service/*'],
    ['a line', 'x\n, URI:move://service/*'],
  ])('reads a name with %s as one', async (_title, hostile) => {
    const certificate = await withNames(uris('move://role/client', 'move://name/Eve', `http://${hostile}`));
    expect(readIdentity(certificate).services).toEqual([]);
  });

  it('reads addresses of both families, and leaves host names alone', async () => {
    const certificate = await withNames([
      ...uris('move://role/site', 'move://name/a1'),
      { type: 'dns', value: 'a1.example' },
      { type: 'ip', value: '192.0.2.1' },
      { type: 'ip', value: '2001:db8::1' },
    ]);
    expect(readIdentity(certificate).addresses).toEqual(['192.0.2.1', '2001:db8::1']);
  });

  it('leaves other URIs alone and decodes names', async () => {
    const certificate = await withNames(
      uris('https://example.org/', 'move://role/client', 'move://name/Zo%C3%AB', 'move://service/*'),
    );
    expect(readIdentity(certificate)).toMatchObject({ name: 'Zoë', services: 'any' });
  });

  it.each([
    ['no names at all', []],
    ['no role', uris('move://name/x')],
    ['no name', uris('move://role/client')],
    ['an unknown role', uris('move://role/root', 'move://name/x')],
    ['two roles', uris('move://role/client', 'move://role/overlay', 'move://name/x')],
    ['two names', uris('move://role/client', 'move://name/x', 'move://name/y')],
    [
      'two bindings',
      uris('move://role/client', 'move://name/x', 'move://address/1.1.1.1', 'move://address/1.1.1.2'),
    ],
    ['an unknown claim', uris('move://role/client', 'move://name/x', 'move://hours/9-17')],
    ['a spoiled name', uris('move://role/client', 'move://name/%ff')],
    ['a spoiled service', uris('move://role/client', 'move://name/x', 'move://service/*.example')],
    ['a spoiled address', uris('move://role/client', 'move://name/x', 'move://address/here')],
  ])('refuses %s', async (_title, names) => {
    const certificate = await withNames(names as JsonGeneralNames);
    expect(() => readIdentity(certificate)).toThrow(withCode('CERTIFICATE_FOREIGN'));
  });
});

describe('names', () => {
  it('spells every address in one way', () => {
    expect(normaliseAddress('2001:DB8:0:0::1')).toBe('2001:db8::1');
    expect(normaliseAddress('::ffff:192.0.2.1')).toBe('192.0.2.1');
    expect(normaliseAddress('192.0.2.1')).toBe('192.0.2.1');
    for (const text of ['192.0.2.01', 'fe80::1%eth0', '', 'host', '1.2.3', '::ffff:300.1.1.1']) {
      expect(normaliseAddress(text)).toBeNull();
    }
  });

  it('knows host names from addresses and patterns', () => {
    for (const name of ['shop.example', 'a', 'x-1.example', '1a.example'])
      expect(isServiceName(name)).toBe(true);
    for (const name of [
      '',
      '10.0.0.1',
      'Shop.example',
      '-a',
      'a-',
      'a..b',
      '*',
      `${'a'.repeat(64)}.example`,
      'a b',
    ]) {
      expect(isServiceName(name)).toBe(false);
    }
  });

  it('takes people from everywhere, but no control characters or separators', () => {
    for (const name of ['Ada', "Conan O'Brien", 'Žofie Nováková', '山田太郎', 'ada@example.org']) {
      expect(isPersonName(name)).toBe(true);
    }
    for (const name of ['', ' Ada', 'a\nb', 'a/b', 'a,b', 'a\0', 'x'.repeat(65), '\ud800']) {
      expect(isPersonName(name)).toBe(false);
    }
  });
});
