import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { authorise } from '../../../core/credentials/authorise.ts';
import { type Authority, createAuthority } from '../../../core/credentials/authority.ts';
import { readIdentity } from '../../../core/credentials/identity.ts';
import { type LocationRecord, verifyLocationRecord } from '../../../core/overlay/location-record.ts';
import { systemClock } from '../../../core/runtime/clock.ts';
import { Organisation, recordOf } from '../../support/organisation.ts';

const home = mkdtempSync(join(tmpdir(), 'move-organisations-'));
let operator: Authority;
const organisations: Organisation[] = [];
let bakery: Organisation;
let library: Organisation;

async function admit(name: string, service: string, site: string): Promise<Organisation> {
  const organisation = await Organisation.admittedBy(name, async (requestPem) => {
    const scope = { profile: 'organisation', name, services: [service], sites: [site] };
    const { certificatePem } = await operator.issue({ ...scope, key: { requestPem } });
    return { certificatePem, trustPem: operator.certificatePem };
  });
  organisations.push(organisation);
  return organisation;
}

beforeAll(async () => {
  operator = await createAuthority({
    directory: join(home, 'operator'),
    passphrase: 'correct horse battery',
  });
  bakery = await admit('bakery', 'bread.example', 'b1');
  library = await admit('library', 'books.example', 'l1');
}, 60_000);
afterAll(() => {
  for (const organisation of organisations) organisation.close();
  operator.close();
  rmSync(home, { recursive: true, force: true });
});

/** As an overlay node judges it: by the operator's certificate and the organisations that he has named. */
function judge(candidate: LocationRecord, revoked: ReadonlySet<string> = new Set()): LocationRecord {
  const named = operator.organisations().map((pem) => new X509Certificate(pem));
  return verifyLocationRecord(candidate, {
    trustPem: [operator.certificatePem, ...operator.organisations()],
    readIdentity,
    now: Date.now(),
    checkRevoked: (certificate) => {
      authorise(certificate, {
        trust: [operator.certificate],
        organisations: named,
        revoked,
        clock: systemClock,
      });
    },
  });
}

describe('organisations with authorities of their own', () => {
  it('announce their own service at their own site', async () => {
    const service = await bakery.certify('service', 'bread.example');
    const site = await bakery.certify('site', 'b1', ['bread.example']);
    expect(judge(recordOf({ service: 'bread.example', site: 'b1' }, service, site))).toMatchObject({
      service: 'bread.example',
      site: 'b1',
    });
  });

  it("cannot take another's service to their site, nor put their own on another's", async () => {
    const bread = await bakery.certify('service', 'bread.example');
    const books = await library.certify('service', 'books.example');
    const b1 = await bakery.certify('site', 'b1', ['bread.example']);
    const l1 = await library.certify('site', 'l1', ['books.example']);
    expect(() => judge(recordOf({ service: 'books.example', site: 'b1' }, books, b1))).toThrow(
      expect.objectContaining({ code: 'ORGANISATION_DENIED' }),
    );
    expect(() => judge(recordOf({ service: 'bread.example', site: 'l1' }, bread, l1))).toThrow(
      expect.objectContaining({ code: 'ORGANISATION_DENIED' }),
    );
    // The service's own certificate cannot be had: its authority signs it for nobody else.
    await expect(library.certify('service', 'bread.example')).rejects.toMatchObject({
      code: 'CERTIFICATE_OVERREACHED',
    });
    expect(() => judge(recordOf({ service: 'bread.example', site: 'b1' }, books, b1))).toThrow(
      expect.objectContaining({ code: 'RECORD_INVALID' }),
    );
  });

  it('are out with one revocation, records that were signed before included', async () => {
    const service = await bakery.certify('service', 'bread.example');
    const site = await bakery.certify('site', 'b1', ['bread.example']);
    const before = recordOf({ service: 'bread.example', site: 'b1' }, service, site);
    expect(judge(before)).toBeDefined();
    const revoked = new Set([bakery.authority.certificate.serialNumber]);
    expect(() => judge(before, revoked)).toThrow(expect.objectContaining({ code: 'CERTIFICATE_REVOKED' }));
    const other = recordOf(
      { service: 'books.example', site: 'l1' },
      await library.certify('service', 'books.example'),
      await library.certify('site', 'l1', ['books.example']),
    );
    expect(judge(other, revoked)).toBeDefined();
  });
});
