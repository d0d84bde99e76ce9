import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Authority, openAuthority } from '../../core/credentials/authority.ts';
import { adoptCertificate, writeAuthorityRequest } from '../../core/credentials/authority-files.ts';
import { signDelegation } from '../../core/credentials/delegation.ts';
import { generateKeyAndRequest } from '../../core/credentials/key-request.ts';
import { type LocationRecord, signLocationRecord } from '../../core/overlay/location-record.ts';
import type { LinkIdentity } from '../../core/runtime/link/link-tls.ts';

const passphrase = 'correct horse battery';

/** An organisation with an authority of its own, in a directory of its own. */
export class Organisation {
  readonly authority: Authority;
  readonly #directory: string;
  readonly #trustPem: string;

  private constructor(authority: Authority, directory: string, trustPem: string) {
    this.authority = authority;
    this.#directory = directory;
    this.#trustPem = trustPem;
  }

  /** Asks an operator to be admitted and takes up what he signs. */
  static async admittedBy(
    name: string,
    admit: (requestPem: string) => Promise<{ certificatePem: string; trustPem: string }>,
  ): Promise<Organisation> {
    const directory = mkdtempSync(join(tmpdir(), 'move-organisation-'));
    try {
      const { certificatePem, trustPem } = await admit(
        await writeAuthorityRequest(directory, passphrase, name),
      );
      await adoptCertificate(directory, passphrase, certificatePem, trustPem);
      return new Organisation(await openAuthority({ directory, passphrase }), directory, trustPem);
    } catch (thrown) {
      rmSync(directory, { recursive: true, force: true });
      throw thrown;
    }
  }

  async certify(profile: 'service' | 'site', name: string, services: string[] = []): Promise<LinkIdentity> {
    const { privateKeyPem, requestPem } = await generateKeyAndRequest(name);
    const site = profile === 'site' ? { services, addresses: ['192.0.2.1'] } : {};
    const { certificatePem } = await this.authority.issue({ profile, name, ...site, key: { requestPem } });
    return { keyPem: privateKeyPem, certificatePem, trustPem: [this.#trustPem] };
  }

  close(): void {
    this.authority.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** What the holders of two keys say together: that a service is at a site, in its first epoch. */
export function recordOf(
  { service, site, epoch = 1 }: { service: string; site: string; epoch?: number },
  serviceHolder: Pick<LinkIdentity, 'keyPem' | 'certificatePem'>,
  siteHolder: Pick<LinkIdentity, 'keyPem' | 'certificatePem'>,
): LocationRecord {
  const issuedAt = Date.now();
  const delegation = signDelegation(
    { service, site, epoch },
    serviceHolder.keyPem,
    serviceHolder.certificatePem,
  );
  return signLocationRecord(
    {
      service,
      site,
      address: '192.0.2.1:7400',
      epoch,
      issuedAt,
      expiresAt: issuedAt + 60_000,
      delegation: delegation as LocationRecord['delegation'],
    },
    { key: siteHolder.keyPem, certificatePem: siteHolder.certificatePem },
  );
}
