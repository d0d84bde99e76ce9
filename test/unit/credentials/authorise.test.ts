import { createPrivateKey, generateKeyPairSync, type KeyObject, verify, X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AuthorisationRules, authorise } from '../../../core/credentials/authorise.ts';
import { type Authority, createAuthority } from '../../../core/credentials/authority.ts';
import { toSigningKey } from '../../../core/credentials/certificate-signing.ts';
import { signDelegation, verifyDelegation } from '../../../core/credentials/delegation.ts';
import { allowsService, readIdentity } from '../../../core/credentials/identity.ts';
import type { SubjectRequest } from '../../../core/credentials/issue-request.ts';
import {
  AuthorityKeyIdentifierExtension,
  PublicKey,
  parseCertificate,
  SIGNING_ALGORITHM,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '../../../core/credentials/x509.ts';
import { DAY, handClock, keyFor, PASSPHRASE, temporaryDirectory, withCode } from './helpers.ts';

const directory = temporaryDirectory();
const otherDirectory = temporaryDirectory();
const clock = handClock();
let authority: Authority;
let other: Authority;
let rules: AuthorisationRules;

beforeAll(async () => {
  authority = await createAuthority({
    directory: directory.path,
    passphrase: PASSPHRASE,
    clock,
    name: 'One',
  });
  // The same name on purpose: only the signature may tell them apart.
  other = await createAuthority({
    directory: otherDirectory.path,
    passphrase: PASSPHRASE,
    clock,
    name: 'One',
  });
  rules = { trust: [authority.certificate], revoked: new Set(), clock };
});
afterAll(() => {
  authority.close();
  other.close();
  directory.remove();
  otherDirectory.remove();
});

async function certificate(
  request: Partial<SubjectRequest> = {},
  from = authority,
): Promise<X509Certificate> {
  const full = { profile: 'client', name: 'Ada', ...request };
  const { key } = await keyFor(full.name);
  return new X509Certificate((await from.issue({ ...full, key })).certificatePem);
}
/** A certificate that claims to come from `issuer`, signed with whatever key. */
async function issuedBy(key: KeyObject, issuer: X509Certificate): Promise<X509Certificate> {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = (object: KeyObject) => new PublicKey(object.export({ type: 'spki', format: 'der' }));
  const names = ['move://role/overlay', 'move://name/node-1'].map((value) => ({
    type: 'url' as const,
    value,
  }));
  const made = await X509CertificateGenerator.create({
    serialNumber: '01',
    subject: 'CN=node-1',
    issuer: parseCertificate(issuer.raw).subjectName,
    notBefore: new Date(clock.now() - 1_000),
    notAfter: new Date(clock.now() + DAY),
    publicKey: spki(publicKey),
    signingKey: toSigningKey(key),
    signingAlgorithm: SIGNING_ALGORITHM,
    extensions: [
      new SubjectAlternativeNameExtension(names),
      await AuthorityKeyIdentifierExtension.create(spki(issuer.publicKey)),
    ],
  });
  return new X509Certificate(Buffer.from(made.rawData));
}
const at = (offset: number) => ({ now: () => clock.now() + offset });

describe('authorise', () => {
  it('admits whom the authority named', async () => {
    const ada = await certificate({ services: ['shop.example'] });
    expect(authorise(ada, { ...rules, expectRole: 'client', expectService: 'shop.example' })).toEqual(
      readIdentity(ada),
    );
  });

  it('tells a missing certificate', () => {
    expect(() => authorise(undefined, rules)).toThrow(withCode('CERTIFICATE_MISSING'));
  });

  it('tells one of another authority, even of the same name, and the root itself', async () => {
    expect(() => authorise(other.certificate, rules)).toThrow(withCode('CERTIFICATE_FOREIGN'));
    expect(() => authorise(authority.certificate, rules)).toThrow(withCode('CERTIFICATE_FOREIGN'));
    const foreign = await certificate({}, other);
    expect(() => authorise(foreign, rules)).toThrow(withCode('CERTIFICATE_FOREIGN'));
    expect(() => authorise(foreign, { ...rules, trust: [] })).toThrow(withCode('CERTIFICATE_FOREIGN'));
  });

  it('is not taken in by a forger who copies every name and identifier of the authority', async () => {
    const forged = await issuedBy(
      generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
      authority.certificate,
    );
    expect(forged.checkIssued(authority.certificate)).toBe(true);
    expect(() => authorise(forged, rules)).toThrow(withCode('CERTIFICATE_FOREIGN'));
  });

  it('does not let a holder issue certificates, not even where the holder is trusted by mistake', async () => {
    const ada = await authority.issueByHand({ profile: 'client', name: 'Ada', services: 'any' });
    const holder = new X509Certificate(ada.certificatePem);
    const forged = await issuedBy(createPrivateKey(ada.privateKeyPem), holder);
    expect(() => authorise(forged, rules)).toThrow(withCode('CERTIFICATE_FOREIGN'));
    expect(() => authorise(forged, { ...rules, trust: [holder] })).toThrow(withCode('CERTIFICATE_FOREIGN'));
  });

  it('does not take a certificate for an authority', async () => {
    const ada = await certificate();
    expect(() => authorise(ada, { ...rules, trust: [ada] })).toThrow(withCode('CERTIFICATE_FOREIGN'));
  });

  it('keeps to its time, to the second', async () => {
    const ada = await certificate({ lifetimeMs: DAY });
    const end = readIdentity(ada).notAfter - clock.now();
    expect(authorise(ada, { ...rules, clock: at(end + 999) }).name).toBe('Ada');
    expect(() => authorise(ada, { ...rules, clock: at(end + 1000) })).toThrow(
      withCode('CERTIFICATE_EXPIRED'),
    );
    const begin = readIdentity(ada).notBefore - clock.now();
    expect(authorise(ada, { ...rules, clock: at(begin) }).name).toBe('Ada');
    expect(() => authorise(ada, { ...rules, clock: at(begin - 1) })).toThrow(
      withCode('CERTIFICATE_NOT_YET_VALID'),
    );
  });

  it('refuses the revoked, however the serial is spelled', async () => {
    const ada = await certificate();
    const { serial } = readIdentity(ada);
    await authority.revoke(serial);
    for (const revoked of [authority.revokedSerials(), new Set([serial.toLowerCase()])]) {
      expect(() => authorise(ada, { ...rules, revoked })).toThrow(withCode('CERTIFICATE_REVOKED'));
    }
  });

  it('tells the wrong role and a service out of scope', async () => {
    const ada = await certificate({ services: ['shop.example'] });
    expect(() => authorise(ada, { ...rules, expectRole: ['overlay', 'site'] })).toThrow(
      withCode('ROLE_DENIED'),
    );
    expect(() => authorise(ada, { ...rules, expectService: 'wiki.example' })).toThrow(
      withCode('SCOPE_DENIED'),
    );
    const none = await certificate();
    expect(() => authorise(none, { ...rules, expectService: 'shop.example' })).toThrow(
      withCode('SCOPE_DENIED'),
    );
  });

  it('keeps a bound certificate to its address and access point', async () => {
    const bound = await certificate({ boundAddress: '10.9.0.2', boundAccessPoint: 'node-3' });
    const there = { ...rules, peerAddress: '::ffff:10.9.0.2', accessPoint: 'node-3' };
    expect(authorise(bound, there).boundAddress).toBe('10.9.0.2');
    for (const wrong of [{ peerAddress: '10.9.0.3' }, { peerAddress: undefined }]) {
      expect(() => authorise(bound, { ...there, ...wrong })).toThrow(withCode('ADDRESS_DENIED'));
    }
    expect(() => authorise(bound, { ...there, accessPoint: 'node-4' })).toThrow(
      withCode('ACCESS_POINT_DENIED'),
    );
  });
});

describe('scope', () => {
  it('holds exactly the services named, without regard to case', () => {
    const identity = { services: ['shop.example'] };
    expect(allowsService(identity, 'SHOP.example')).toBe(true);
    for (const name of ['x.shop.example', 'shop.example.', 'example', '', 'shop.example/x']) {
      expect(allowsService(identity, name)).toBe(false);
    }
    expect(allowsService({ services: 'any' }, 'whatever.example')).toBe(true);
    expect(allowsService({ services: 'any' }, '*')).toBe(false);
  });
});

describe('delegation', () => {
  const trust = () => [authority.certificate];
  async function service(name = 'shop.example', from = authority) {
    const { privateKeyPem, key } = await keyFor(name);
    return { key: privateKeyPem, pem: (await from.issue({ profile: 'service', name, key })).certificatePem };
  }
  const statement = { service: 'shop.example', site: 'b1', epoch: 7 };

  it('lets one site announce one service for one epoch', async () => {
    const { key, pem } = await service();
    const delegation = signDelegation({ ...statement, notAfter: Math.floor(clock.now()) + 1000 }, key, pem);
    const overTheWire: unknown = JSON.parse(JSON.stringify(delegation));
    expect(verifyDelegation(overTheWire, trust(), clock)).toEqual(delegation);
    expect(() => verifyDelegation(overTheWire, trust(), at(1001))).toThrow(withCode('DELEGATION_EXPIRED'));
  });

  it('does without an end of its own', async () => {
    const { key, pem } = await service();
    const delegation = signDelegation(statement, key, pem);
    expect(Object.keys(delegation)).not.toContain('notAfter');
    expect(verifyDelegation(delegation, trust(), clock).epoch).toBe(7);
    expect(() => verifyDelegation(delegation, trust(), at(366 * DAY))).toThrow(
      withCode('CERTIFICATE_EXPIRED'),
    );
  });

  it('signs exactly the bytes that its docstring says', async () => {
    const { key, pem } = await service();
    const { signature } = signDelegation(statement, key, pem);
    const bytes = Buffer.from('move-delegation-1\n{"epoch":7,"service":"shop.example","site":"b1"}');
    const { publicKey } = new X509Certificate(pem);
    expect(verify('sha256', bytes, publicKey, Buffer.from(signature, 'base64'))).toBe(true);
  });

  it.each([
    { service: 'wiki.example' },
    { site: 'c1' },
    { epoch: 8 },
    { notAfter: 9e12 },
    { epoch: 0 },
    { extra: 1 },
  ])('does not survive a change to %o', async (change) => {
    const { key, pem } = await service();
    const changed = { ...signDelegation(statement, key, pem), ...change };
    expect(() => verifyDelegation(changed, trust(), clock)).toThrow(
      withCode('service' in change ? 'SCOPE_DENIED' : 'DELEGATION_INVALID'),
    );
  });

  it('cannot be made by another service, a site, a client or a foreign authority', async () => {
    const wiki = await service('wiki.example');
    const forged = signDelegation(statement, wiki.key, wiki.pem);
    expect(() => verifyDelegation(forged, trust(), clock)).toThrow(withCode('SCOPE_DENIED'));
    const ada = await authority.issueByHand({ profile: 'client', name: 'Ada', services: 'any' });
    const byClient = signDelegation(statement, ada.privateKeyPem, ada.certificatePem);
    expect(() => verifyDelegation(byClient, trust(), clock)).toThrow(withCode('ROLE_DENIED'));
    const foreign = await service('shop.example', other);
    const byForeigner = signDelegation(statement, foreign.key, foreign.pem);
    expect(() => verifyDelegation(byForeigner, trust(), clock)).toThrow(withCode('CERTIFICATE_FOREIGN'));
  });

  it('ends when the service is revoked, and needs the right key to sign', async () => {
    const { key, pem } = await service();
    const delegation = signDelegation(statement, key, pem);
    const revoked = new Set([new X509Certificate(pem).serialNumber]);
    expect(() => verifyDelegation(delegation, trust(), clock, revoked)).toThrow(
      withCode('CERTIFICATE_REVOKED'),
    );
    const wrong = await service();
    expect(() => signDelegation(statement, wrong.key, pem)).toThrow(withCode('DELEGATION_INVALID'));
  });
});
