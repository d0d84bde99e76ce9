import { createHash, createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { chmodSync, cpSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Authority, createAuthority, openAuthority } from '../../../core/credentials/authority.ts';
import type { IssuanceLog } from '../../../core/credentials/issuance-log.ts';
import { generateKeyAndRequest } from '../../../core/credentials/key-request.ts';
import { PROFILES } from '../../../core/credentials/profiles.ts';
import { readRevocationList } from '../../../core/credentials/revocation-list.ts';
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  parseCertificate,
} from '../../../core/credentials/x509.ts';
import { DAY, handClock, keyFor, PASSPHRASE, temporaryDirectory, withCode } from './helpers.ts';

describe('authority', () => {
  let directory: ReturnType<typeof temporaryDirectory>;
  let clock: ReturnType<typeof handClock>;
  let authority: Authority;

  // Made once and copied: deriving a key from a passphrase is slow on purpose.
  const template = temporaryDirectory();
  beforeAll(async () => {
    (await createAuthority({ directory: template.path, passphrase: PASSPHRASE })).close();
  });
  afterAll(() => template.remove());
  beforeEach(async () => {
    directory = temporaryDirectory();
    cpSync(template.path, directory.path, { recursive: true });
    clock = handClock();
    authority = await openAuthority({ directory: directory.path, passphrase: PASSPHRASE, clock });
  });
  afterEach(() => {
    authority.close();
    directory.remove();
  });

  const overlay = async (name: string) =>
    authority.issue({ profile: 'overlay', name, addresses: ['10.0.0.1'], key: (await keyFor(name)).key });

  describe('renewal', () => {
    const ada = (renewals: number) =>
      authority.issueByHand({
        profile: 'client',
        name: 'Ada',
        services: ['shop.example'],
        lifetimeMs: DAY,
        renewals,
      });
    const request = async (name = 'Ada') => (await generateKeyAndRequest(name)).requestPem;

    it('repeats name, services and lifetime for a new key, as often as was allowed', async () => {
      const first = await ada(2);
      clock.advance(0.7 * DAY);
      const second = await authority.renew(first.identity.serial, await request());
      expect(second.identity).toMatchObject({ name: 'Ada', role: 'client', services: ['shop.example'] });
      expect(second.identity.notAfter - first.identity.notAfter).toBeCloseTo(0.7 * DAY, -4);
      expect(second.identity.keyFingerprint).not.toBe(first.identity.keyFingerprint);
      clock.advance(0.7 * DAY);
      const third = await authority.renew(second.identity.serial, await request());
      for (const { identity } of [second, third])
        await expect(authority.renew(identity.serial, await request())).rejects.toEqual(
          withCode('RENEWAL_DENIED'),
        );
    });

    it('does not exceed what was allowed when two ask at once', async () => {
      const { identity } = await ada(1);
      const requests = await Promise.all([request(), request()]);
      const outcomes = await Promise.allSettled(requests.map((pem) => authority.renew(identity.serial, pem)));
      expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      expect(authority.list()).toHaveLength(2);
    });

    it('is denied where none was allowed, after the end, for others than clients, to the tested and the revoked', async () => {
      const denied = async (serial: string, code = 'RENEWAL_DENIED') =>
        expect(authority.renew(serial, await request())).rejects.toEqual(withCode(code));
      await denied((await ada(0)).identity.serial);
      await denied((await overlay('node-1')).identity.serial);
      await denied('00', 'CERTIFICATE_UNKNOWN');
      const tested = await authority.issueByHand({
        profile: 'client',
        name: 'Ada',
        services: ['shop.example'],
        boundAccessPoint: 'node-1',
        renewals: 3,
      });
      await denied(tested.identity.serial);
      const other = await ada(3);
      await expect(authority.renew(other.identity.serial, await request('Eve'))).rejects.toEqual(
        withCode('REQUEST_INVALID'),
      );
      await authority.revoke(other.identity.serial);
      await denied(other.identity.serial);
      const late = await ada(3);
      clock.advance(DAY + 1_000);
      await denied(late.identity.serial);
    });

    it('revokes with a certificate what it was renewed to, and not what it came from', async () => {
      const first = await ada(5);
      const second = await authority.renew(first.identity.serial, await request());
      const third = await authority.renew(second.identity.serial, await request());
      await authority.revoke(second.identity.serial, 'keyCompromise');
      expect(authority.revokedSerials()).toEqual(new Set([second.identity.serial, third.identity.serial]));
      await expect(authority.renew(first.identity.serial, await request())).rejects.toEqual(
        withCode('RENEWAL_DENIED'),
      );
    });
  });

  describe('on disk', () => {
    it('lets nobody but its owner read the directory, the key and the list', async () => {
      authority.close();
      directory.remove();
      authority = await createAuthority({ directory: directory.path, passphrase: PASSPHRASE, clock });
      expect(statSync(directory.path).mode & 0o777).toBe(0o700);
      expect(statSync(join(directory.path, 'authority-key.pem')).mode & 0o777).toBe(0o600);
      expect(statSync(join(directory.path, 'issued.sqlite')).mode & 0o777).toBe(0o600);
    });

    it('keeps the key encrypted with many rounds, and no plain key anywhere', () => {
      const text = readFileSync(join(directory.path, 'authority-key.pem'), 'utf8');
      expect(text).toMatch(/^-----BEGIN ENCRYPTED PRIVATE KEY-----/);
      expect(() => createPrivateKey(text)).toThrow();
      expect(createPrivateKey({ key: text, passphrase: PASSPHRASE }).asymmetricKeyType).toBe('ec');
      for (const file of readdirSync(directory.path)) {
        expect(readFileSync(join(directory.path, file), 'latin1')).not.toContain('BEGIN PRIVATE KEY');
      }
    });

    it('opens again with its passphrase and keeps what it issued', async () => {
      const { identity } = await authority.issueByHand({ profile: 'client', name: 'Ada', services: 'any' });
      const root = authority.certificatePem;
      authority.close();
      authority = await openAuthority({ directory: directory.path, passphrase: PASSPHRASE, clock });
      expect(authority.certificatePem).toBe(root);
      expect(authority.list().map((row) => row.serial)).toEqual([identity.serial]);
    });

    it('says so when the passphrase is wrong', async () => {
      await expect(
        openAuthority({ directory: directory.path, passphrase: 'wrong horse battery' }),
      ).rejects.toEqual(withCode('PASSPHRASE_WRONG'));
    });

    it('refuses a key that others may read', async () => {
      chmodSync(join(directory.path, 'authority-key.pem'), 0o640);
      await expect(openAuthority({ directory: directory.path, passphrase: PASSPHRASE })).rejects.toEqual(
        withCode('AUTHORITY_EXPOSED'),
      );
    });

    it('refuses a key that belongs to another certificate', async () => {
      const other = temporaryDirectory();
      (await createAuthority({ directory: other.path, passphrase: PASSPHRASE })).close();
      writeFileSync(
        join(directory.path, 'authority-key.pem'),
        readFileSync(join(other.path, 'authority-key.pem')),
      );
      other.remove();
      await expect(openAuthority({ directory: directory.path, passphrase: PASSPHRASE })).rejects.toEqual(
        withCode('AUTHORITY_UNREADABLE'),
      );
    });

    it('never overwrites an authority, and does not open what is not there', async () => {
      await expect(createAuthority({ directory: directory.path, passphrase: PASSPHRASE })).rejects.toEqual(
        withCode('AUTHORITY_EXISTS'),
      );
      await expect(
        openAuthority({ directory: join(directory.path, 'none'), passphrase: PASSPHRASE }),
      ).rejects.toEqual(withCode('AUTHORITY_MISSING'));
    });

    it('wants a passphrase of some length', async () => {
      await expect(
        createAuthority({ directory: join(directory.path, 'new'), passphrase: 'short' }),
      ).rejects.toEqual(withCode('PASSPHRASE_TOO_SHORT'));
    });
  });

  describe('issuance', () => {
    it('writes role, name, scope and addresses into the certificate', async () => {
      const { key } = await keyFor('a1');
      const { certificatePem, identity } = await authority.issue({
        profile: 'site',
        name: 'a1',
        services: ['shop.example', 'wiki.example'],
        addresses: ['10.1.0.1', 'FD00:0::1'],
        hostnames: ['a1.lab'],
        key,
      });
      expect(identity).toMatchObject({
        role: 'site',
        name: 'a1',
        services: ['shop.example', 'wiki.example'],
        addresses: ['10.1.0.1', 'fd00::1'],
      });
      const certificate = new X509Certificate(certificatePem);
      for (const uri of ['role/site', 'name/a1', 'service/shop.example', 'service/wiki.example']) {
        expect(certificate.subjectAltName).toContain(`URI:move://${uri}`);
      }
      expect(certificate.checkIP('10.1.0.1')).toBe('10.1.0.1');
      expect(certificate.checkHost('a1.lab')).toBe('a1.lab');
      expect(certificate.ca).toBe(false);
      const parsed = parseCertificate(certificate.raw);
      expect(parsed.getExtension(BasicConstraintsExtension)).toMatchObject({ ca: false, critical: true });
      expect(parsed.getExtension(KeyUsagesExtension)).toMatchObject({
        usages: KeyUsageFlags.digitalSignature,
        critical: true,
      });
      expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2', '1.3.6.1.5.5.7.3.1']);
    });

    it('binds a client to an address and an access point', async () => {
      const { identity } = await authority.issueByHand({
        profile: 'client',
        name: 'Zoë Ångström',
        services: ['shop.example'],
        boundAddress: '::ffff:10.9.0.2',
        boundAccessPoint: 'node-3',
      });
      expect(identity).toMatchObject({
        name: 'Zoë Ångström',
        boundAddress: '10.9.0.2',
        boundAccessPoint: 'node-3',
      });
    });

    it.each(Object.values(PROFILES))('keeps the lifetimes of profile $name', async (profile) => {
      const name = profile.naming === 'service' ? 'shop.example' : 'somebody';
      const addresses = profile.addresses === 'required' ? ['10.0.0.9'] : undefined;
      const ask = async (lifetimeMs?: number) =>
        authority.issue({
          profile: profile.name,
          name,
          addresses,
          ...(profile.name === 'organisation' ? { services: ['shop.example'], sites: ['b1'] } : {}),
          lifetimeMs,
          key: (await keyFor(name)).key,
        });
      const { identity } = await ask();
      expect(Math.abs(identity.notAfter - clock.now() - profile.lifetime.default)).toBeLessThanOrEqual(1000);
      expect(identity.notBefore).toBeLessThan(clock.now());
      await ask(profile.lifetime.minimum);
      await ask(profile.lifetime.maximum);
      await expect(ask(profile.lifetime.minimum - 1)).rejects.toEqual(withCode('LIFETIME_DENIED'));
      await expect(ask(profile.lifetime.maximum + 1)).rejects.toEqual(withCode('LIFETIME_DENIED'));
    });

    it('never outlives the authority', async () => {
      clock.advance(3640 * DAY);
      const { identity } = await authority.issueByHand({ profile: 'client', name: 'Ada' });
      expect(identity.notAfter).toBe(authority.certificate.validToDate.getTime());
      await expect(
        authority.issueByHand({ profile: 'client', name: 'Ada', lifetimeMs: 30 * DAY }),
      ).rejects.toEqual(withCode('LIFETIME_DENIED'));
    });

    it('gives random serial numbers of 128 bits', async () => {
      const serials = new Set<string>();
      for (let count = 0; count < 50; count++) {
        const { key } = await keyFor('x');
        serials.add((await authority.issue({ profile: 'client', name: 'x', key })).identity.serial);
      }
      expect(serials.size).toBe(50);
      for (const serial of serials) expect(serial).toMatch(/^[0-7][0-9A-F]{31}$/);
    });

    it.each([
      ['an unknown profile', { profile: 'root' }, 'PROFILE_UNKNOWN'],
      ['a property of Object as profile', { profile: 'constructor' }, 'PROFILE_UNKNOWN'],
      ['a name that poses as another URI', { name: 'x, URI:move://role/overlay' }, 'REQUEST_INVALID'],
      ['an empty name', { name: '' }, 'REQUEST_INVALID'],
      ['a service that is no host name', { services: ['*'] }, 'REQUEST_INVALID'],
      ['a service with a slash', { services: ['a/b'] }, 'REQUEST_INVALID'],
      ['an address on a client', { addresses: ['10.0.0.1'] }, 'PROFILE_DENIED'],
      ['a nonsense address', { boundAddress: '10.0.0.256' }, 'REQUEST_INVALID'],
      [
        'a binding on a site',
        { profile: 'site', name: 's', addresses: ['10.0.0.1'], boundAccessPoint: 'n' },
        'PROFILE_DENIED',
      ],
      ['an overlay node without address', { profile: 'overlay', name: 'n' }, 'PROFILE_DENIED'],
      [
        'a scope on an overlay node',
        { profile: 'overlay', name: 'n', addresses: ['10.0.0.1'], services: 'any' },
        'PROFILE_DENIED',
      ],
      [
        'a scope on a service',
        { profile: 'service', name: 'a.example', services: ['b.example'] },
        'PROFILE_DENIED',
      ],
      ['an unknown field', { role: 'overlay' }, 'REQUEST_INVALID'],
    ])('refuses %s', async (_title, change, code) => {
      const request = { profile: 'client', name: 'Ada', ...change };
      const { key } = await keyFor(request.name);
      await expect(authority.issue({ ...request, key } as never)).rejects.toEqual(withCode(code));
      expect(authority.list()).toEqual([]);
    });

    it('refuses weak keys, private keys and its own key', async () => {
      const pem = (key: { export(options: { type: 'spki'; format: 'pem' }): string | Buffer }) =>
        String(key.export({ type: 'spki', format: 'pem' }));
      const ask = (publicKeyPem: string) =>
        authority.issue({ profile: 'client', name: 'Ada', key: { publicKeyPem } });
      const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 });
      await expect(ask(pem(rsa.publicKey))).rejects.toEqual(withCode('KEY_WEAK'));
      const curve = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
      await expect(ask(pem(curve.publicKey))).rejects.toEqual(withCode('KEY_WEAK'));
      await expect(ask(pem(authority.certificate.publicKey))).rejects.toEqual(withCode('CERTIFICATE_UNFIT'));
      const { privateKeyPem } = await generateKeyAndRequest('Ada');
      await expect(ask(privateKeyPem)).rejects.toEqual(withCode('REQUEST_INVALID'));
    });

    it('wants proof of possession: a request whose signature or key was exchanged is refused', async () => {
      const ask = (requestPem: string) =>
        authority.issue({ profile: 'client', name: 'Ada', key: { requestPem } });
      const mine = await generateKeyAndRequest('Ada');
      const der = Buffer.from(mine.requestPem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
      der[der.length - 1] = (der[der.length - 1] ?? 0) ^ 1;
      const spoiled = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
      await expect(ask(spoiled)).rejects.toEqual(withCode('REQUEST_UNPROVEN'));
      await expect(ask((await generateKeyAndRequest('Eve')).requestPem)).rejects.toEqual(
        withCode('REQUEST_INVALID'),
      );
      await expect(ask('hello')).rejects.toEqual(withCode('REQUEST_INVALID'));
      await expect(ask(mine.requestPem)).resolves.toMatchObject({ identity: { name: 'Ada' } });
    });

    it('certifies P-384, Ed25519 and RSA keys of others', async () => {
      for (const { publicKey } of [
        generateKeyPairSync('ec', { namedCurve: 'P-384' }),
        generateKeyPairSync('ed25519'),
        generateKeyPairSync('rsa', { modulusLength: 2048 }),
      ]) {
        const publicKeyPem = String(publicKey.export({ type: 'spki', format: 'pem' }));
        const issued = await authority.issue({ profile: 'client', name: 'Ada', key: { publicKeyPem } });
        expect(new X509Certificate(issued.certificatePem).verify(authority.certificate.publicKey)).toBe(true);
      }
    });

    it('reports to its log before the result leaves, and a log that fails keeps it back', async () => {
      const events: string[] = [];
      const log: IssuanceLog = {
        issued: (certificate) => void events.push(`issued ${certificate.name}`),
        revoked: (certificate) => void events.push(`revoked ${certificate.name} ${certificate.reason}`),
        refused: (refusal) => void events.push(`refused ${refusal.name} ${refusal.code}`),
      };
      authority.close();
      authority = await openAuthority({ directory: directory.path, passphrase: PASSPHRASE, clock, log });
      const { identity } = await authority.issueByHand({ profile: 'client', name: 'Ada' });
      await authority.revoke(identity.serial, 'superseded');
      await authority.revoke(identity.serial, 'keyCompromise');
      await expect(overlay('NOT A NAME')).rejects.toEqual(withCode('REQUEST_INVALID'));
      expect(events).toEqual(['issued Ada', 'revoked Ada superseded', 'refused NOT A NAME REQUEST_INVALID']);
      log.issued = () => {
        throw new Error('disk full');
      };
      await expect(authority.issueByHand({ profile: 'client', name: 'Bob' })).rejects.toThrow('disk full');
    });

    it('does nothing once it is closed', async () => {
      authority.close();
      authority.close();
      await expect(authority.issueByHand({ profile: 'client', name: 'Ada' })).rejects.toEqual(
        withCode('AUTHORITY_CLOSED'),
      );
    });
  });

  describe('list and revocation', () => {
    it('lists what stands, newest first, and the expired on demand', async () => {
      await authority.issueByHand({
        profile: 'client',
        name: 'short',
        lifetimeMs: 60_000,
        services: ['a.example'],
      });
      clock.advance(10);
      const { certificatePem } = await authority.issueByHand({
        profile: 'client',
        name: 'long',
        services: 'any',
      });
      expect(authority.list().map((row) => row.name)).toEqual(['long', 'short']);
      clock.advance(120_000);
      expect(authority.list().map((row) => row.name)).toEqual(['long']);
      const all = authority.list({ includeExpired: true });
      expect(all.map((row) => [row.name, row.services])).toEqual([
        ['long', 'any'],
        ['short', ['a.example']],
      ]);
      const der = new X509Certificate(certificatePem).raw;
      expect(all[0]?.fingerprint256).toBe(createHash('sha256').update(der).digest('hex'));
    });

    it('revokes once, with a reason, and remembers', async () => {
      const { identity } = await authority.issueByHand({ profile: 'client', name: 'Ada' });
      const revoked = await authority.revoke(identity.serial, 'keyCompromise');
      expect(revoked).toMatchObject({ reason: 'keyCompromise', revokedAt: Math.floor(clock.now()) });
      clock.advance(5_000);
      expect(await authority.revoke(identity.serial.toLowerCase(), 'superseded')).toEqual(revoked);
      expect([...authority.revokedSerials()]).toEqual([identity.serial]);
      await expect(authority.revoke('00'.repeat(16))).rejects.toEqual(withCode('CERTIFICATE_UNKNOWN'));
      await expect(authority.revoke(identity.serial, 'removeFromCRL' as never)).rejects.toEqual(
        withCode('REQUEST_INVALID'),
      );
    });

    it('signs lists whose number rises, also over a restart', async () => {
      const { identity } = await authority.issueByHand({ profile: 'client', name: 'Ada' });
      await authority.revoke(identity.serial);
      const trust = [authority.certificate];
      const first = await readRevocationList(await authority.certificateRevocationList(), trust);
      expect(first).toMatchObject({ number: 1n, serials: new Set([identity.serial]) });
      authority.close();
      authority = await openAuthority({ directory: directory.path, passphrase: PASSPHRASE, clock });
      const second = await readRevocationList(await authority.certificateRevocationList(), trust);
      expect(second.number).toBe(2n);
      expect(second.nextUpdate - second.thisUpdate).toBe(7 * DAY);
    });

    it('does not believe a list of another authority, or a spoiled one', async () => {
      const other = temporaryDirectory();
      const foreign = await createAuthority({ directory: other.path, passphrase: PASSPHRASE });
      const list = await foreign.certificateRevocationList();
      foreign.close();
      other.remove();
      await expect(readRevocationList(list, [authority.certificate])).rejects.toEqual(
        withCode('REVOCATION_LIST_INVALID'),
      );
      await expect(readRevocationList('no list', [authority.certificate])).rejects.toEqual(
        withCode('REVOCATION_LIST_INVALID'),
      );
    });

    it('drops a revoked certificate from the list one list lifetime after its end', async () => {
      const { identity } = await authority.issueByHand({ profile: 'client', name: 'Ada', lifetimeMs: DAY });
      await authority.revoke(identity.serial);
      const serials = async () =>
        (await readRevocationList(await authority.certificateRevocationList(), [authority.certificate]))
          .serials;
      clock.advance(2 * DAY);
      expect(authority.revokedSerials().size).toBe(0);
      expect((await serials()).size).toBe(1);
      clock.advance(7 * DAY);
      expect((await serials()).size).toBe(0);
    });
  });
});
