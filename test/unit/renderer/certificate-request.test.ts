import { describe, expect, it } from 'vitest';
import { generateKeyAndRequest } from '../../../core/credentials/key-request.ts';
import {
  faultOfRequest,
  longestRequest,
  nameInRequest,
} from '../../../renderer/model/certificate-request.ts';

/** By openssl 3: `-subj '/O=Analytical Engines/CN=Ada, Gräfin/OU=x'` with `-utf8`, a P-256 key. */
const byOpenssl = `-----BEGIN CERTIFICATE REQUEST-----
MIH7MIGiAgEAMEAxGzAZBgNVBAoMEkFuYWx5dGljYWwgRW5naW5lczEVMBMGA1UE
AwwMQWRhLCBHcsOkZmluMQowCAYDVQQLDAF4MFkwEwYHKoZIzj0CAQYIKoZIzj0D
AQcDQgAEUxPIHTNNt/jUh3sD5WAQuO4aWpHpwJkqkL29C6t0gaCTnWO/J1hX+ElK
1dg4DJL8ohGaaYjXh78S0CbQrJVc3aAAMAoGCCqGSM49BAMCA0gAMEUCIQCILDuh
pLsCxXLj4qH616hi0k24I6FxQWzo5I1TRh+UUAIgT+LrMmaqnTjBc3H5RnZZ8VDc
lv0DxJoPa0a32KtKT20=
-----END CERTIFICATE REQUEST-----
`;

describe('the name in a certificate request', () => {
  it('is read from what openssl and our own generator write, whatever letters it has', async () => {
    expect(nameInRequest(byOpenssl)).toBe('Ada, Gräfin');
    for (const name of ['Ada Lovelace', 'Зоя', 'x'.repeat(64)])
      expect(nameInRequest((await generateKeyAndRequest(name)).requestPem)).toBe(name);
  });

  it('is read with text around, and with the line ends of other systems', () => {
    expect(nameInRequest(`From: Ada\n\n${byOpenssl}\nregards`)).toBe('Ada, Gräfin');
    expect(nameInRequest(byOpenssl.replaceAll('\n', '\r\n'))).toBe('Ada, Gräfin');
  });

  it('is nobody’s where the text is cut off, changed or something else; it never throws', () => {
    for (const text of ['', 'hello', byOpenssl.replaceAll('REQUEST', ''), byOpenssl.replace('-----END', '')])
      expect(nameInRequest(text)).toBeNull();
    const [head, body] = /^(-+BEGIN[^\n]+\n)([^-]+)/.exec(byOpenssl)!.slice(1) as [string, string];
    const bytes = Buffer.from(body, 'base64');
    for (let length = 0; length < bytes.length; length += 1) {
      const cut = `${head}${bytes.subarray(0, length).toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
      expect(nameInRequest(cut)).toBeNull();
    }
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at] = changed[at]! ^ 0xff;
      const text = `${head}${changed.toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
      expect(() => nameInRequest(text)).not.toThrow();
    }
  });
});

describe('the text of a request', () => {
  it('is taken as it is, and a private key, too much of it or anything else is told apart', () => {
    expect(faultOfRequest(byOpenssl)).toBeNull();
    expect(faultOfRequest(`\n ${byOpenssl}`)).toBeNull();
    expect(faultOfRequest('-----BEGIN EC PRIVATE KEY-----\nAA==\n')).toMatch(/^This is a private key/);
    expect(faultOfRequest('-----BEGIN PRIVATE KEY-----')).toMatch(/^This is a private key/);
    expect(faultOfRequest(`-----BEGIN ${'x'.repeat(longestRequest)}`)).toMatch(/more than 64 KB/);
    expect(faultOfRequest('')).toMatch(/^Paste the request/);
  });
});
