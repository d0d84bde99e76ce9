import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { authorise } from '../../../core/credentials/authorise.ts';
import { type Authority, createAuthority, openAuthority } from '../../../core/credentials/authority.ts';
import { adoptCertificate, writeAuthorityRequest } from '../../../core/credentials/authority-files.ts';
import { signDelegation } from '../../../core/credentials/delegation.ts';
import { readIdentity } from '../../../core/credentials/identity.ts';
import { generateKeyAndRequest } from '../../../core/credentials/key-request.ts';
import {
  type LocationRecord,
  signLocationRecord,
  verifyLocationRecord,
} from '../../../core/overlay/location-record.ts';
import { systemClock } from '../../../core/runtime/clock.ts';

const passphrase = 'correct horse battery';
const home = mkdtempSync(join(tmpdir(), 'move-organisations-'));
let operator: Authority;
const authorities: Authority[] = [];
let bakery: Authority;
let library: Authority;

/** An organisation with an authority of its own, as the operator admits it. */
async function admit(name: string, service: string, site: string): Promise<Authority> {
  const directory = join(home, name);
  const requestPem = await writeAuthorityRequest(directory, passphrase, name);
  const scope = { profile: 'organisation', name, services: [service], sites: [site] };
  const { certificatePem } = await operator.issue({ ...scope, key: { requestPem } });
  await adoptCertificate(directory, passphrase, certificatePem, operator.certificatePem);
  const authority = await openAuthority({ directory, passphrase });
  authorities.push(authority);
  return authority;
}

beforeAll(async () => {
  operator = await createAuthority({ directory: join(home, 'operator'), passphrase });
  authorities.push(operator);
  bakery = await admit('bakery', 'bread.example', 'b1');
  library = await admit('library', 'books.example', 'l1');
});
afterAll(() => {
  for (const authority of authorities) authority.close();
  rmSync(home, { recursive: true, force: true });
});

interface Holder {
  keyPem: string;
  certificatePem: string;
}

async function certify(
  authority: Authority,
  profile: 'service' | 'site',
  name: string,
  services?: string[],
): Promise<Holder> {
  const { privateKeyPem, requestPem } = await generateKeyAndRequest(name);
  const site = profile === 'site' ? { services: services ?? [], addresses: ['192.0.2.1'] } : {};
  const { certificatePem } = await authority.issue({ profile, name, ...site, key: { requestPem } });
  return { keyPem: privateKeyPem, certificatePem };
}

function record(service: string, site: string, serviceHolder: Holder, siteHolder: Holder): LocationRecord {
  const issuedAt = Date.now();
  const delegation = signDelegation(
    { service, site, epoch: 1 },
    serviceHolder.keyPem,
    serviceHolder.certificatePem,
  );
  return signLocationRecord(
    {
      service,
      site,
      address: '192.0.2.1:7400',
      epoch: 1,
      issuedAt,
      expiresAt: issuedAt + 30_000,
      delegation: delegation as LocationRecord['delegation'],
    },
    { key: siteHolder.keyPem, certificatePem: siteHolder.certificatePem },
  );
}

/** As an overlay node judges it: by the operator's certificate and the organisations that he has named. */
function judge(candidate: LocationRecord, revoked: ReadonlySet<string> = new Set()): LocationRecord {
  const organisations = operator.organisations().map((pem) => new X509Certificate(pem));
  return verifyLocationRecord(candidate, {
    trustPem: [operator.certificatePem, ...operator.organisations()],
    readIdentity,
    now: Date.now(),
    checkRevoked: (certificate) => {
      authorise(certificate, { trust: [operator.certificate], organisations, revoked, clock: systemClock });
    },
  });
}

describe('organisations with authorities of their own', () => {
  it('announce their own service at their own site', async () => {
    const service = await certify(bakery, 'service', 'bread.example');
    const site = await certify(bakery, 'site', 'b1', ['bread.example']);
    expect(judge(record('bread.example', 'b1', service, site))).toMatchObject({
      service: 'bread.example',
      site: 'b1',
    });
  });

  it("cannot take another's service to their site, nor put their own on another's", async () => {
    const bread = await certify(bakery, 'service', 'bread.example');
    const books = await certify(library, 'service', 'books.example');
    const b1 = await certify(bakery, 'site', 'b1', ['bread.example']);
    const l1 = await certify(library, 'site', 'l1', ['books.example']);
    expect(() => judge(record('books.example', 'b1', books, b1))).toThrow(
      expect.objectContaining({ code: 'ORGANISATION_DENIED' }),
    );
    expect(() => judge(record('bread.example', 'l1', bread, l1))).toThrow(
      expect.objectContaining({ code: 'ORGANISATION_DENIED' }),
    );
    // The service's own certificate cannot be had: its authority signs it for nobody else.
    await expect(certify(library, 'service', 'bread.example')).rejects.toMatchObject({
      code: 'CERTIFICATE_OVERREACHED',
    });
    expect(() => judge(record('bread.example', 'b1', books, b1))).toThrow(
      expect.objectContaining({ code: 'RECORD_INVALID' }),
    );
  });

  it('are out with one revocation, records that were signed before included', async () => {
    const service = await certify(bakery, 'service', 'bread.example');
    const site = await certify(bakery, 'site', 'b1', ['bread.example']);
    const before = record('bread.example', 'b1', service, site);
    expect(judge(before)).toBeDefined();
    const revoked = new Set([bakery.certificate.serialNumber]);
    expect(() => judge(before, revoked)).toThrow(expect.objectContaining({ code: 'CERTIFICATE_REVOKED' }));
    const other = record(
      'books.example',
      'l1',
      await certify(library, 'service', 'books.example'),
      await certify(library, 'site', 'l1', ['books.example']),
    );
    expect(judge(other, revoked)).toBeDefined();
  });
});
