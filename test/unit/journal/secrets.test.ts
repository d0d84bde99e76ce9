import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { isSecretName, refuseSecrets } from '../../../core/journal/secrets.ts';

describe('secrets', () => {
  it.each([
    'key',
    'KEY',
    'privateKey',
    'private_key',
    'privatekey',
    'privateKeyPem',
    'private-pem',
    'serviceKey',
    'apiKey',
    'passphrase',
    'adminPassphrase',
    'password',
    'passwordHash',
    'passwd',
    'token',
    'sessionToken',
    'secret',
    'clientSecret',
    'pkcs12',
  ])('takes "%s" for the name of a secret', (name) => {
    expect(isSecretName(name)).toBe(true);
  });

  it.each([
    'publicKey',
    'publicKeyPem',
    'keyFingerprint',
    'certificatePem',
    'pem',
    'hostKey',
    'secretServlet',
    'monkey',
    'keyboard',
    'tokens2',
    'passed',
  ])('lets "%s" through', (name) => {
    expect(isSecretName(name)).toBe(false);
  });

  it('finds them at any depth, names the place and never the value', () => {
    const find = (data: unknown) => {
      try {
        refuseSecrets(data, 'a');
        return null;
      } catch (error) {
        expect(JSON.stringify(error) + String(error)).not.toContain('hunter2');
        return (error as { details: { path: string } }).details.path;
      }
    };
    expect(find({ a: [{ b: { password: 'hunter2' } }] })).toBe('data.a[0].b.password');
    expect(find({ keys: ['hunter2'] })).toBe('data.keys');
    expect(find({ hasPassword: true, password: null, token: false })).toBeNull();
    expect(find({ key: 0 })).toBe('data.key');
  });

  it('finds a private key in PEM under any name', () => {
    for (const type of ['pkcs8', 'sec1'] as const) {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const text = String(privateKey.export({ type, format: 'pem' }));
      expect(() => refuseSecrets({ note: `look: ${text}` }, 'a')).toThrow(
        expect.objectContaining({ code: 'JOURNAL_SECRET_REFUSED' }),
      );
    }
    expect(() => refuseSecrets({ note: '-----BEGIN CERTIFICATE-----' }, 'a')).not.toThrow();
  });
});
