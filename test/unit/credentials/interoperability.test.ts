import { spawn } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { authorise } from '../../../core/credentials/authorise.ts';
import { type Authority, createAuthority, type IssuedByHand } from '../../../core/credentials/authority.ts';
import { PROFILES } from '../../../core/credentials/profiles.ts';
import { systemClock } from '../../../core/runtime/clock.ts';
import { runProgram } from '../../../core/runtime/process.ts';
import { keyFor, PASSPHRASE, temporaryDirectory, withCode } from './helpers.ts';

const onPath = (program: string) =>
  (process.env.PATH ?? '').split(':').some((directory) => existsSync(join(directory, program)));

const directory = temporaryDirectory();
let authority: Authority;
let ada: IssuedByHand;
let node: { certificatePem: string; privateKeyPem: string };
const file = (name: string, content: string | Buffer) => {
  const path = join(directory.path, name);
  writeFileSync(path, content, { mode: 0o600 });
  return path;
};
const openssl = async (args: string[], input?: string) => {
  const result = await runProgram('openssl', args, { timeoutMs: 10_000, input });
  return { ...result, text: result.stdout + result.stderr };
};

beforeAll(async () => {
  authority = await createAuthority({ directory: join(directory.path, 'authority'), passphrase: PASSPHRASE });
  ada = await authority.issueByHand({ profile: 'client', name: 'Ada Lovelace', services: ['shop.example'] });
  const { privateKeyPem, key } = await keyFor('node-1');
  const issued = await authority.issue({ profile: 'overlay', name: 'node-1', addresses: ['127.0.0.1'], key });
  node = { certificatePem: issued.certificatePem, privateKeyPem };
  file('root.pem', authority.certificatePem);
  file('ada.pem', ada.certificatePem);
  file('ada.key', ada.privateKeyPem);
  file('ada.p12', ada.pkcs12);
  file('password', `${ada.password}\n`);
  file('node.pem', node.certificatePem);
  file('node.key', node.privateKeyPem);
});
afterAll(() => {
  authority.close();
  directory.remove();
});
const at = (name: string) => join(directory.path, name);

describe.skipIf(!onPath('openssl'))('openssl (skipped: it is not installed)', () => {
  it('verifies the root strictly', async () => {
    const { text } = await openssl([
      'verify',
      '-x509_strict',
      '-check_ss_sig',
      '-CAfile',
      at('root.pem'),
      at('root.pem'),
    ]);
    expect(text).toContain('root.pem: OK');
  });

  it.each(Object.values(PROFILES))(
    'verifies profile $name strictly for its uses and for no other',
    async (profile) => {
      const name = profile.naming === 'service' ? 'shop.example' : 'some-1';
      const { certificatePem } = await authority.issue({
        profile: profile.name,
        name,
        addresses: profile.addresses === 'required' ? ['127.0.0.1', 'fd00::1'] : undefined,
        ...(profile.name === 'organisation' ? { services: ['guest.example'], sites: ['b1'] } : {}),
        key: (await keyFor(name)).key,
      });
      const path = file(`${profile.name}.pem`, certificatePem);
      for (const [use, purpose] of [
        ['clientAuth', 'sslclient'],
        ['serverAuth', 'sslserver'],
      ] as const) {
        const { text } = await openssl([
          'verify',
          '-x509_strict',
          '-purpose',
          purpose,
          '-CAfile',
          at('root.pem'),
          path,
        ]);
        // An authority's own certificate is good for no end of a connection.
        if (profile.uses.includes(use) && !profile.signs) expect(text).toContain(': OK');
        else expect(text).toContain('verification failed');
      }
    },
  );

  it('opens the PKCS#12 without -legacy, with the key, the certificate and the authority in it', async () => {
    const opened = await openssl([
      'pkcs12',
      '-in',
      at('ada.p12'),
      '-passin',
      `file:${at('password')}`,
      '-nodes',
    ]);
    expect(opened.code).toBe(0);
    const blocks = opened.stdout.match(/-----BEGIN ([A-Z ]+)-----[^-]+-----END \1-----/g) ?? [];
    const certificates = blocks
      .filter((block) => block.includes('CERTIFICATE'))
      .map((b) => new X509Certificate(b));
    expect(certificates.map((certificate) => certificate.fingerprint256).sort()).toEqual(
      [new X509Certificate(ada.certificatePem), authority.certificate].map((c) => c.fingerprint256).sort(),
    );
    const key = createPrivateKey(blocks.find((block) => block.includes('PRIVATE KEY')) ?? '');
    expect(new X509Certificate(ada.certificatePem).checkPrivateKey(key)).toBe(true);
    expect(opened.stdout).toContain('friendlyName: Ada Lovelace (MOVE)');
    const facts = await openssl([
      'pkcs12',
      '-in',
      at('ada.p12'),
      '-passin',
      `file:${at('password')}`,
      '-info',
      '-noout',
    ]);
    expect(facts.text).toContain('MAC: sha256');
    expect(facts.text).toMatch(/AES-256-CBC, Iteration 100000, PRF hmacWithSHA256/);
  });

  it('keeps the PKCS#12 shut for a wrong password', async () => {
    const wrong = file('wrong', 'wrong password\n');
    const { code, text } = await openssl([
      'pkcs12',
      '-in',
      at('ada.p12'),
      '-passin',
      `file:${wrong}`,
      '-nodes',
    ]);
    expect(code).not.toBe(0);
    expect(text).toContain('Mac verify error');
  });

  it('opens the key at rest with the passphrase', async () => {
    const passphrase = file('passphrase', `${PASSPHRASE}\n`);
    const key = join(directory.path, 'authority', 'authority-key.pem');
    const { code } = await openssl(['pkey', '-in', key, '-passin', `file:${passphrase}`, '-noout']);
    expect(code).toBe(0);
  });

  it('reads the revocation list and goes by it', async () => {
    const revoked = await authority.issueByHand({ profile: 'client', name: 'Eve' });
    await authority.revoke(revoked.identity.serial, 'keyCompromise');
    const list = file('list.pem', await authority.certificateRevocationList());
    const { text } = await openssl(['crl', '-in', list, '-noout', '-text', '-CAfile', at('root.pem')]);
    expect(text).toContain('verify OK');
    expect(text).toMatch(/X509v3 CRL Number:\s+1\n/);
    expect(text).toContain(revoked.identity.serial);
    expect(text).toContain('Key Compromise');
    const check = ['verify', '-x509_strict', '-crl_check', '-CRLfile', list, '-CAfile', at('root.pem')];
    expect((await openssl([...check, file('eve.pem', revoked.certificatePem)])).text).toContain(
      'certificate revoked',
    );
    expect((await openssl([...check, at('ada.pem')])).text).toContain('ada.pem: OK');
  });

  it('certifies a request that openssl made', async () => {
    const key = await openssl(['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256']);
    const request = await openssl(['req', '-new', '-key', file('bob.key', key.stdout), '-subj', '/CN=Bob']);
    const { identity } = await authority.issue({
      profile: 'client',
      name: 'Bob',
      key: { requestPem: request.stdout },
    });
    expect(identity.name).toBe('Bob');
  });

  it('s_client is admitted by a Node server over TLS 1.3, and named', async () => {
    const server = createServer({
      key: node.privateKeyPem,
      cert: node.certificatePem,
      ca: authority.certificatePem,
      minVersion: 'TLSv1.3',
      requestCert: true,
      rejectUnauthorized: false,
    });
    const rules = { trust: [authority.certificate], revoked: new Set<string>(), clock: systemClock };
    server.on('secureConnection', (socket: TLSSocket) => {
      try {
        const identity = authorise(socket.getPeerX509Certificate(), { ...rules, expectRole: 'client' });
        socket.end(`hello ${identity.name}\n`);
      } catch (error) {
        socket.end(`refused ${(error as { code: string }).code}\n`);
      }
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    try {
      const to = [
        's_client',
        '-connect',
        `127.0.0.1:${(server.address() as AddressInfo).port}`,
        '-tls1_3',
        '-ign_eof',
      ];
      const checked = [...to, '-CAfile', at('root.pem'), '-verify_return_error', '-verify_ip', '127.0.0.1'];
      const admitted = await openssl([...checked, '-cert', at('ada.pem'), '-key', at('ada.key')]);
      expect(admitted.stdout).toContain('hello Ada Lovelace');
      expect(admitted.stdout).toContain('Verify return code: 0 (ok)');
      expect((await openssl(checked)).stdout).toContain('refused CERTIFICATE_MISSING');
      const asNode = await openssl([...checked, '-cert', at('node.pem'), '-key', at('node.key')]);
      expect(asNode.stdout).toContain('refused ROLE_DENIED');
    } finally {
      server.close();
    }
  });

  it('s_server is believed by a Node client over TLS 1.3', async () => {
    const args = [
      's_server',
      '-accept',
      '127.0.0.1:0',
      '-tls1_3',
      '-Verify',
      '1',
      '-verify_return_error',
      '-naccept',
      '1',
    ];
    const keys = ['-CAfile', at('root.pem'), '-cert', at('node.pem'), '-key', at('node.key')];
    const server = spawn('openssl', [...args, ...keys], { stdio: ['pipe', 'pipe', 'ignore'] });
    try {
      let output = '';
      const port = await new Promise<number>((resolve, reject) => {
        server.once('exit', () => reject(new Error(`s_server ended: ${output}`)));
        server.stdout.on('data', (chunk: Buffer) => {
          output += chunk.toString();
          const found = /ACCEPT 127\.0\.0\.1:(\d+)/.exec(output);
          if (found) resolve(Number(found[1]));
        });
      });
      const socket = connect({
        host: '127.0.0.1',
        port,
        ca: authority.certificatePem,
        cert: ada.certificatePem,
        key: ada.privateKeyPem,
      });
      await once(socket, 'secureConnect');
      expect(socket.authorized).toBe(true);
      expect(socket.getProtocol()).toBe('TLSv1.3');
      const ended = once(server, 'exit');
      socket.end();
      await ended;
      expect(output).toContain('CN = Ada Lovelace');
    } finally {
      server.kill('SIGKILL');
    }
  });
});

const hasNss = onPath('certutil') && onPath('pk12util');
describe.skipIf(!hasNss)('NSS (skipped: certutil and pk12util of libnss3-tools are not installed)', () => {
  it('imports the PKCS#12 and finds the certificate good for a client', async () => {
    const database = `sql:${directory.path}`;
    const empty = file('nss-password', '\n');
    const run = (program: string, args: string[]) => runProgram(program, args, { timeoutMs: 10_000 });
    expect((await run('certutil', ['-N', '-d', database, '-f', empty])).code).toBe(0);
    const imported = await run('pk12util', [
      '-i',
      at('ada.p12'),
      '-d',
      database,
      '-k',
      empty,
      '-w',
      at('password'),
    ]);
    expect(imported.stdout).toContain('PKCS12 IMPORT SUCCESSFUL');
    await run('certutil', ['-A', '-d', database, '-n', 'root', '-t', 'CT,,', '-i', at('root.pem')]);
    const valid = await run('certutil', ['-V', '-d', database, '-n', 'Ada Lovelace (MOVE)', '-u', 'C']);
    expect(valid.stdout).toContain('certificate is valid');
  });
});

describe('what a person gets', () => {
  it('takes a password of their own, but none that programs disagree about', async () => {
    const request = { profile: 'client', name: 'Ada' };
    expect((await authority.issueByHand({ ...request, password: 'my own one' })).password).toBe('my own one');
    for (const password of ['short', 'pässword-long', 'x'.repeat(129)]) {
      await expect(authority.issueByHand({ ...request, password })).rejects.toEqual(
        withCode('PASSWORD_UNSUITABLE'),
      );
    }
  });
});
