import { generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { createAuthority } from '../../../core/credentials/authority.ts';
import type { LinkIdentity } from '../../../core/runtime/link/link-tls.ts';

export const benchService = 'shop.example';

/** Who takes part in the path, in its order. */
export interface BenchIdentities {
  trustPem: string;
  client: LinkIdentity;
  /** Another client, who means harm. */
  mallory: LinkIdentity;
  accessPoint: LinkIdentity;
  servlet: LinkIdentity;
  site: LinkIdentity;
}

/** Certificates for the four ends of the path by a real authority; both chains use the same ones. */
export async function issueBenchIdentities(directory: string): Promise<BenchIdentities> {
  const authority = await createAuthority({
    directory: join(directory, 'authority'),
    passphrase: 'only for this bench',
  });
  try {
    const issue = async (profile: 'client' | 'overlay' | 'site', name: string): Promise<LinkIdentity> => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const { certificatePem } = await authority.issue({
        profile,
        name,
        ...(profile === 'overlay' ? {} : { services: [benchService] }),
        ...(profile === 'client' ? {} : { addresses: ['127.0.0.1'] }),
        key: { publicKeyPem: String(publicKey.export({ type: 'spki', format: 'pem' })) },
      });
      const keyPem = String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
      return { certificatePem, keyPem, trustPem: [authority.certificatePem] };
    };
    return {
      trustPem: authority.certificatePem,
      client: await issue('client', 'bench'),
      mallory: await issue('client', 'mallory'),
      accessPoint: await issue('overlay', 'node-1'),
      servlet: await issue('overlay', 'node-2'),
      site: await issue('site', 'a1'),
    };
  } finally {
    authority.close();
  }
}
