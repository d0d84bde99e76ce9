import { createPrivateKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import { applyProfile } from './certificate-draft.ts';
import { checkDraft, newSerial, type Signer, signDraft, toSigningKey } from './certificate-signing.ts';
import { allowsService, type Identity, readIdentity } from './identity.ts';
import { checkSubjectRequest } from './issue-request.ts';
import { createPkcs12, generatePassword } from './pkcs12.ts';

export interface ConstrainedAuthorityOptions {
  /** The access point's certificate of profile `access-point`, PEM. */
  certificatePem: string;
  /** Its own key, PEM, which has never left the host. */
  keyPem: string;
  /** The administrator's authority, PEM. */
  authorityPem: string;
  clock?: Clock;
}

export interface VisitorRequest {
  /** What the visitor is called; at most 64 characters. */
  name: string;
  /** Host names of services. */
  services: readonly string[];
  /** The only IP address that it shall be good from. */
  address: string;
  lifetimeMs: number;
}

/** A visitor's certificate and key, before anybody has them. */
export interface VisitorCredential {
  identity: Identity;
  /** The leaf, followed by the certificate of the constrained authority. */
  certificatePem: string;
  privateKey: KeyObject;
}

/**
 * The authority of one access point. What it signs is a client certificate, bound to one address and to this
 * access point, for services within its own scope; whoever judges a certificate accepts nothing else of it (see
 * `authorise`). Its loss endangers nobody but the services that are open to visitors (MOVE section 2.2.2).
 */
export class ConstrainedAuthority {
  readonly #signer: Signer;
  readonly #own: Identity;
  readonly #authorityPem: string;
  readonly #clock: Clock;

  /** @throws MoveError `AUTHORITY_UNREADABLE` when key and certificate do not belong together or are of another kind. */
  constructor(options: ConstrainedAuthorityOptions) {
    const certificate = new X509Certificate(options.certificatePem);
    const key = createPrivateKey(options.keyPem);
    this.#own = readIdentity(certificate);
    if (!certificate.ca || this.#own.role !== 'access-point' || !certificate.checkPrivateKey(key))
      throw new MoveError(
        'AUTHORITY_UNREADABLE',
        'The key and the certificate of this access point’s authority do not belong together. Configure the host again.',
      );
    this.#signer = { certificate, signingKey: toSigningKey(key) };
    this.#authorityPem = options.authorityPem;
    this.#clock = options.clock ?? systemClock;
  }

  /** The access point whose authority this is. */
  get accessPoint(): string {
    return this.#own.name;
  }

  /** Its certificate, for whoever judges what it signed. */
  get certificate(): X509Certificate {
    return this.#signer.certificate;
  }

  /**
   * Makes a key and signs a certificate for it, by the same steps as the administrator's authority.
   * @throws MoveError `SCOPE_DENIED` for a service outside the scope; `REQUEST_INVALID`, `LIFETIME_DENIED`,
   * `CERTIFICATE_UNFIT`.
   */
  async admit(request: VisitorRequest): Promise<VisitorCredential> {
    const outside = request.services.find((service) => !allowsService(this.#own, service));
    if (outside !== undefined)
      throw new MoveError('SCOPE_DENIED', `${outside} is not open to visitors of this access point.`, {
        service: outside,
      });
    const checked = checkSubjectRequest({
      profile: 'client',
      name: request.name,
      services: [...request.services],
      boundAddress: request.address,
      boundAccessPoint: this.accessPoint,
      lifetimeMs: Math.round(request.lifetimeMs),
    });
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const draft = applyProfile(checked, publicKey, this.#clock.now(), {
      notBefore: this.#own.notBefore,
      notAfter: this.#own.notAfter,
    });
    checkDraft(draft, this.#signer);
    const { certificate, identity } = await signDraft(draft, newSerial(), this.#signer);
    return {
      identity,
      certificatePem: `${certificate.toString()}${this.#signer.certificate.toString()}`,
      privateKey,
    };
  }

  /** Packs a visitor's credential with a password that is made up, for the forwarder or a browser. */
  async pack(credential: VisitorCredential): Promise<{ pkcs12: Buffer; password: string }> {
    const password = generatePassword();
    const pkcs12 = await createPkcs12({
      privateKey: credential.privateKey,
      certificatePem: credential.certificatePem,
      chainPem: [this.#signer.certificate.toString()],
      authorityPem: this.#authorityPem,
      friendlyName: `${credential.identity.name} (MOVE)`,
      password,
    });
    return { pkcs12, password };
  }
}
