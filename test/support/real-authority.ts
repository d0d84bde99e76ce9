import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { authorise } from '../../core/credentials/authorise.ts';
import { type Authority, createAuthority } from '../../core/credentials/authority.ts';
import { ConstrainedAuthority } from '../../core/credentials/constrained-authority.ts';
import { readIdentity } from '../../core/credentials/identity.ts';
import type { SubjectRequest } from '../../core/credentials/issue-request.ts';
import { generateKeyAndRequest } from '../../core/credentials/key-request.ts';
import type { Authorise, ReadIdentity } from '../../core/overlay/identity.ts';
import { systemClock } from '../../core/runtime/clock.ts';
import type { LinkIdentity } from '../../core/runtime/link/link-tls.ts';
import type { IssueOptions, TestAuthority } from './authority.ts';

/** The product's own authority behind an overlay on loopback, with constrained authorities for its access points. */
export interface RealTrust {
  administrator: Authority;
  authority: TestAuthority;
  revoked: Set<string>;
  authoriseAt(host: string): Authorise;
  readIdentity: ReadIdentity;
  issue(request: SubjectRequest): Promise<LinkIdentity & { certificate: X509Certificate }>;
  /** Makes the constrained authority of an access point, for these services. */
  constrain(accessPoint: string, services: string[]): Promise<ConstrainedAuthority>;
}

/** What the overlay's tests ask of an authority, as the product's own is asked. */
function requestOf({ role, name, services, boundAddress, boundAccessPoint }: IssueOptions): SubjectRequest {
  return {
    profile: role,
    name,
    ...(role === 'overlay' || role === 'site' ? { addresses: ['127.0.0.1'] } : {}),
    ...(services && role !== 'service' ? { services: services.includes('*') ? 'any' : services } : {}),
    ...(boundAddress === undefined ? {} : { boundAddress }),
    ...(boundAccessPoint === undefined ? {} : { boundAccessPoint }),
  };
}

export async function createRealTrust(directory: string): Promise<RealTrust> {
  const administrator = await createAuthority({
    directory: join(directory, 'authority'),
    passphrase: 'correct horse battery',
  });
  const revoked = new Set<string>();
  const constrained = new Map<string, ConstrainedAuthority>();
  const issue: RealTrust['issue'] = async (request) => {
    const { privateKeyPem, requestPem } = await generateKeyAndRequest(request.name);
    const { certificatePem } = await administrator.issue({ ...request, key: { requestPem } });
    return {
      certificatePem,
      keyPem: privateKeyPem,
      trustPem: [administrator.certificatePem],
      certificate: new X509Certificate(certificatePem),
    };
  };
  return {
    administrator,
    revoked,
    issue,
    readIdentity,
    authority: {
      certificatePem: administrator.certificatePem,
      certify: (requestPem, options) => administrator.issue({ ...requestOf(options), key: { requestPem } }),
      issue: (options) => issue(requestOf(options)),
    },
    authoriseAt: (host) => (certificate, from) =>
      authorise(certificate, {
        trust: [administrator.certificate],
        constrained: constrained.get(host)?.certificate,
        revoked,
        clock: systemClock,
        accessPoint: host,
        ...(from.remoteAddress === undefined ? {} : { peerAddress: from.remoteAddress }),
      }),
    async constrain(accessPoint, services) {
      const { certificatePem, keyPem } = await issue({
        profile: 'access-point',
        name: accessPoint,
        services,
      });
      const made = new ConstrainedAuthority({
        certificatePem,
        keyPem,
        authorityPem: administrator.certificatePem,
      });
      constrained.set(accessPoint, made);
      return made;
    },
  };
}
