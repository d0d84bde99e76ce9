import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { signDelegation } from '../../../core/credentials/delegation.ts';
import type { LocationRecord } from '../../../core/overlay/location-record.ts';
import { signLocationRecord, verifyLocationRecord } from '../../../core/overlay/location-record.ts';
import type { LinkIdentity } from '../../../core/runtime/link/link-tls.ts';
import type { TestAuthority } from '../../support/authority.ts';
import { createTestAuthority, readTestIdentity } from '../../support/authority.ts';

const now = Date.now();
let authority: TestAuthority;
let foreign: TestAuthority;
let site: LinkIdentity;
let otherSite: LinkIdentity;
let service: LinkIdentity;
let otherService: LinkIdentity;
beforeAll(async () => {
  authority = await createTestAuthority();
  foreign = await createTestAuthority('Foreign');
  site = await authority.issue({ role: 'site', name: 'a1', services: ['*'] });
  otherSite = await authority.issue({ role: 'site', name: 'b1', services: ['*'] });
  service = await authority.issue({ role: 'service', name: 'shop', services: ['shop.example'] });
  otherService = await authority.issue({ role: 'service', name: 'blog', services: ['blog.example'] });
});

const signer = (identity: LinkIdentity) => ({
  key: identity.keyPem,
  certificatePem: identity.certificatePem,
});

interface Recipe {
  siteSigner?: LinkIdentity;
  serviceSigner?: LinkIdentity;
  delegatedTo?: string;
  delegatedEpoch?: number;
  lifeMs?: number;
  issuedAt?: number;
}

function make(recipe: Recipe = {}): LocationRecord {
  const issuedAt = recipe.issuedAt ?? now - 1000;
  const delegation = signDelegation(
    { service: 'shop.example', site: recipe.delegatedTo ?? 'a1', epoch: recipe.delegatedEpoch ?? 3 },
    signer(recipe.serviceSigner ?? service).key,
    signer(recipe.serviceSigner ?? service).certificatePem,
  );
  return signLocationRecord(
    {
      service: 'shop.example',
      site: 'a1',
      address: '10.0.0.1:7400',
      epoch: 3,
      issuedAt,
      expiresAt: issuedAt + (recipe.lifeMs ?? 30_000),
      delegation,
    },
    signer(recipe.siteSigner ?? site),
  );
}

const check = (record: unknown, siteCertificate?: X509Certificate) =>
  verifyLocationRecord(record, {
    trustPem: [authority.certificatePem],
    readIdentity: readTestIdentity,
    now,
    ...(siteCertificate ? { siteCertificate } : {}),
  });

describe('a location record', () => {
  it('is believed when site and service signed it', () => {
    const record = make();
    expect(check(JSON.parse(JSON.stringify(record)))).toEqual(record);
    expect(check(record, new X509Certificate(site.certificatePem))).toEqual(record);
  });

  const forgeries: Record<string, () => Promise<unknown> | unknown> = {
    'another address': () => ({ ...make(), address: '10.6.6.6:7400' }),
    'a later epoch': () => ({ ...make(), epoch: 4 }),
    'a longer life': () => ({ ...make(), expiresAt: now + 100_000 }),
    "another site's signature": () => make({ siteSigner: otherSite }),
    "another service's delegation": () => make({ serviceSigner: otherService }),
    'a delegation to another site': () => make({ delegatedTo: 'b1' }),
    'a delegation of an old epoch': () => make({ delegatedEpoch: 2 }),
    'a site that delegates to itself': () => make({ serviceSigner: site }),
    'a service certificate for any service': async () =>
      make({ serviceSigner: await authority.issue({ role: 'service', name: 'all', services: ['*'] }) }),
    'a foreign site': async () => make({ siteSigner: await foreign.issue({ role: 'site', name: 'a1' }) }),
    'a foreign service': async () =>
      make({
        serviceSigner: await foreign.issue({ role: 'service', name: 's', services: ['shop.example'] }),
      }),
    'a life of hours': () => make({ lifeMs: 7_200_000 }),
    'a date in the future': () => make({ issuedAt: now + 60_000 }),
    'an unknown member': () => ({ ...make(), extra: 1 }),
    'nothing at all': () => null,
  };
  for (const [what, forge] of Object.entries(forgeries)) {
    it(`is not believed with ${what}`, async () => {
      const forged = await forge();
      expect(() => check(forged)).toThrow(expect.objectContaining({ code: 'RECORD_INVALID' }));
    });
  }

  it('is not believed from a link of another site, nor after its time', () => {
    expect(() => check(make(), new X509Certificate(otherSite.certificatePem))).toThrow(
      expect.objectContaining({ code: 'RECORD_INVALID' }),
    );
    expect(() => check(make({ issuedAt: now - 60_000 }))).toThrow(
      expect.objectContaining({ code: 'RECORD_EXPIRED' }),
    );
  });
});
