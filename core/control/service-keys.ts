import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  X509Certificate,
} from 'node:crypto';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Delegation } from '../contract/agent-contract.ts';
import type { Authority } from '../credentials/authority.ts';
import { signDelegation } from '../credentials/delegation.ts';
import {
  decryptPrivateKeyPem,
  encryptedPrivateKeyPem,
  KEY_AT_REST_ROUNDS,
} from '../credentials/encrypted-key.ts';

/** A service certificate is renewed when less than this is left of it, in milliseconds. */
const renewBeforeMs = 24 * 3600 * 1000;

/**
 * The keys of services. They never travel: control signs a short delegation with which one site may
 * announce the service for one epoch (DESIGN.md, Identity). At rest they are encrypted.
 */
export class ServiceKeys {
  readonly #directory: string;
  readonly #authority: Authority;
  readonly #passphrase: string;
  readonly #open = new Map<string, Promise<{ key: KeyObject; certificatePem: string }>>();

  constructor(options: { directory: string; authority: Authority; passphrase: string }) {
    this.#directory = options.directory;
    this.#authority = options.authority;
    this.#passphrase = options.passphrase;
  }

  /** Signs that `site` may announce `service` in `epoch`. */
  async delegate(service: string, site: string, epoch: number): Promise<Delegation> {
    let opening = this.#open.get(service);
    if (!opening) {
      opening = this.#load(service);
      this.#open.set(service, opening);
      opening.catch(() => this.#open.delete(service));
    }
    const { key, certificatePem } = await opening;
    return signDelegation({ service, site, epoch }, key, certificatePem);
  }

  async #load(service: string): Promise<{ key: KeyObject; certificatePem: string }> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const keyPath = join(this.#directory, `${service}.key.pem`);
    const certificatePath = join(this.#directory, `${service}.pem`);
    const [storedKey, storedCertificate] = await Promise.all([
      readFile(keyPath, 'utf8').catch(() => null),
      readFile(certificatePath, 'utf8').catch(() => null),
    ]);
    let key: KeyObject;
    if (storedKey) key = decryptPrivateKeyPem(storedKey, this.#passphrase);
    else {
      const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      key = createPrivateKey(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }));
      await writeFile(keyPath, await encryptedPrivateKeyPem(key, this.#passphrase, KEY_AT_REST_ROUNDS), {
        mode: 0o600,
      });
      await chmod(keyPath, 0o600);
    }
    if (storedCertificate) {
      const certificate = new X509Certificate(storedCertificate);
      if (certificate.validToDate.getTime() - Date.now() > renewBeforeMs && certificate.checkPrivateKey(key))
        return { key, certificatePem: storedCertificate };
    }
    const publicKeyPem = String(createPublicKey(key).export({ type: 'spki', format: 'pem' }));
    const issued = await this.#authority.issue({ profile: 'service', name: service, key: { publicKeyPem } });
    await writeFile(certificatePath, issued.certificatePem, { mode: 0o644 });
    return { key, certificatePem: issued.certificatePem };
  }
}
