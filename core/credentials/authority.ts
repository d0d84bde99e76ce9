import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { ISSUED_FILE, readAuthority, readOperator, writeAuthority } from './authority-files.ts';
import { applyProfile, type CertificateDraft } from './certificate-draft.ts';
import { checkDraft, newSerial, type Signer, signDraft } from './certificate-signing.ts';
import { type Identity, readIdentity } from './identity.ts';
import {
  type IssuanceLog,
  type IssuedCertificate,
  type IssuedRenewal,
  noIssuanceLog,
  REVOCATION_REASONS,
  type RevocationReason,
} from './issuance-log.ts';
import { IssuanceStore, type ListOptions, type RenewalFamily } from './issuance-store.ts';
import {
  checkKeyRequest,
  checkSubjectRequest,
  type IssueRequest,
  type SubjectRequest,
} from './issue-request.ts';
import { checkOrganisation, checkUntaken } from './organisation.ts';
import { checkPassword, createPkcs12, generatePassword } from './pkcs12.ts';
import { LIST_LIFETIME_MS, signRevocationList } from './revocation-list.ts';
import { signStatement } from './signed-statement.ts';

export interface AuthorityOptions {
  directory: string;
  passphrase: string;
  clock?: Clock;
  log?: IssuanceLog;
}

export interface Issued {
  certificatePem: string;
  /** The authority's own certificate, which the holder needs to know others by. */
  authorityPem: string;
  identity: Identity;
}

/** What a person gets, once: the authority keeps neither the key nor the password. */
export interface IssuedByHand extends Issued {
  privateKeyPem: string;
  pkcs12: Buffer;
  password: string;
}

/**
 * Makes a new authority in a directory and opens it.
 * @throws MoveError `AUTHORITY_EXISTS`, `PASSPHRASE_TOO_SHORT`.
 */
export async function createAuthority(options: AuthorityOptions & { name?: string }): Promise<Authority> {
  const clock = options.clock ?? systemClock;
  await writeAuthority(options.directory, options.passphrase, options.name, clock.now());
  return openAuthority(options);
}

/**
 * Opens an authority. The key is in memory, not to be exported, until `close`.
 * @throws MoveError `AUTHORITY_MISSING`, `AUTHORITY_EXPOSED`, `AUTHORITY_UNREADABLE`, `PASSPHRASE_WRONG`.
 */
export async function openAuthority(options: AuthorityOptions): Promise<Authority> {
  const signer = await readAuthority(options.directory, options.passphrase);
  const operator = await readOperator(options.directory);
  const store = new IssuanceStore(join(options.directory, ISSUED_FILE));
  const { clock = systemClock, log = noIssuanceLog } = options;
  return new Authority(signer, store, clock, log, operator ?? undefined);
}

/** The administrator's authority: issues, lists and revokes certificates for everybody in the overlay. */
export class Authority {
  private signer: Signer | null;
  private readonly store: IssuanceStore;
  private readonly clock: Clock;
  private readonly log: IssuanceLog;
  readonly certificate: X509Certificate;
  /** Whose organisation this is, where it is no operator's own authority. */
  private readonly operator: X509Certificate | undefined;

  constructor(
    signer: Signer,
    store: IssuanceStore,
    clock: Clock,
    log: IssuanceLog,
    operator?: X509Certificate,
  ) {
    this.operator = operator;
    this.signer = signer;
    this.store = store;
    this.clock = clock;
    this.log = log;
    this.certificate = signer.certificate;
  }

  /** The root certificate, PEM: what everybody in the overlay trusts. */
  get certificatePem(): string {
    return (this.operator ?? this.certificate).toString();
  }

  /** Whose authority this is and what it may certify, where it is an organisation's; null for an operator's. */
  get organisation(): Identity | null {
    return this.operator ? readIdentity(this.certificate) : null;
  }

  /** The authorities of the organisations that it has admitted to the overlay and not revoked, PEM. */
  organisations(): string[] {
    return this.store.holding(['organisation'], this.clock.now()).map(({ certificatePem }) => certificatePem);
  }

  /**
   * Issues a certificate for a key that somebody else holds. One pipeline, whoever asks: check the request,
   * apply the profile, check the certificate, sign, record.
   * @throws MoveError `REQUEST_INVALID`, `REQUEST_UNPROVEN`, `KEY_WEAK`, `PROFILE_UNKNOWN`, `PROFILE_DENIED`,
   * `LIFETIME_DENIED`, `CERTIFICATE_UNFIT`, `AUTHORITY_CLOSED`.
   */
  async issue(request: IssueRequest): Promise<Issued> {
    try {
      return await this.runPipeline(request);
    } catch (thrown) {
      throw await this.refuse(request, thrown);
    }
  }

  /**
   * Signs the authority of an organisation that shares the overlay. `given` are sites that the operator has certified
   * until now and gives away: his own certificates for them are revoked with it.
   * @throws MoveError `SCOPE_TAKEN`, and as {@link issue}.
   */
  async admit(request: Omit<IssueRequest, 'profile'>, given: readonly string[]): Promise<Issued> {
    const admission: IssueRequest = { ...request, profile: 'organisation' };
    try {
      const issued = await this.runPipeline(admission, { given });
      for (const { serial, name } of this.store.holding(['site'], this.clock.now()))
        if (given.includes(name)) await this.revoke(serial, 'superseded');
      return issued;
    } catch (thrown) {
      throw await this.refuse(admission, thrown);
    }
  }

  /**
   * Issues a client's next certificate: the same name, services and lifetime for a new key, as often as the
   * administrator allowed when the first one was issued by hand. The one before stays valid until its own end.
   * @throws MoveError `RENEWAL_DENIED` (the message says why), `CERTIFICATE_UNKNOWN`, and as {@link issue}.
   */
  async renew(serial: string, requestPem: string): Promise<Issued> {
    const known = this.certificateOf(serial);
    try {
      const family = this.renewable(known);
      const left = family.allowed - family.serials.length;
      return await this.runPipeline(
        {
          profile: known.profile,
          name: known.name,
          services: known.services,
          lifetimeMs: known.notAfter - Math.floor(known.issuedAt / 1000) * 1000,
          key: { requestPem },
        },
        { renewed: { family, renewal: { from: known.serial, left } } },
      );
    } catch (thrown) {
      throw await this.refuse(known, thrown);
    }
  }

  /**
   * Issues by hand: makes the key here (P-256) and returns it once, as PEM and as PKCS#12 under the given
   * password or one that is made up. Neither is kept. Its holder may renew it `renewals` times, by default never.
   * @throws MoveError as {@link issue}, and `PASSWORD_UNSUITABLE`.
   */
  async issueByHand(
    request: SubjectRequest & { password?: string; renewals?: number },
  ): Promise<IssuedByHand> {
    const { password = generatePassword(), renewals = 0, ...subject } = request;
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const publicKeyPem = String(publicKey.export({ type: 'spki', format: 'pem' }));
    checkPassword(password);
    const issued = await this.issue({ ...subject, key: { publicKeyPem } });
    const { serial } = issued.identity;
    if (renewals > 0) this.store.addToFamily(serial, { id: serial, allowed: renewals });
    const pkcs12 = await createPkcs12({
      privateKey,
      certificatePem: issued.certificatePem,
      // Whoever trusts the operator alone has to be shown by whom it was signed.
      ...(this.operator ? { chainPem: [this.certificate.toString()] } : {}),
      authorityPem: issued.authorityPem,
      friendlyName: `${issued.identity.name} (MOVE)`,
      password,
    });
    const privateKeyPem = String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
    return { ...issued, privateKeyPem, pkcs12, password };
  }

  /**
   * Revokes a certificate; revoking it again changes nothing. It is durable when this returns; carrying it to
   * the access points is the caller's part (`revokedSerials`, `certificateRevocationList`). What it was renewed to,
   * and what that was renewed to, is revoked with it: who stole a key may have been the one who renewed.
   * @throws MoveError `CERTIFICATE_UNKNOWN`, `REQUEST_INVALID`.
   */
  async revoke(serial: string, reason: RevocationReason = 'unspecified'): Promise<IssuedCertificate> {
    if (!REVOCATION_REASONS.includes(reason)) {
      throw new MoveError(
        'REQUEST_INVALID',
        `"${reason}" is no reason for a revocation. Choose one of ${REVOCATION_REASONS.join(', ')}.`,
      );
    }
    this.openSigner();
    const known = this.certificateOf(serial);
    const family = this.store.familyOf(serial)?.serials ?? [known.serial];
    for (const member of family.slice(family.indexOf(known.serial))) {
      if (this.certificateOf(member).revokedAt !== null) continue;
      this.store.revoke(member, Math.floor(this.clock.now()), reason);
      const { certificatePem: _, ...revoked } = this.certificateOf(member);
      await this.log.revoked(revoked);
    }
    const { certificatePem: _, ...revoked } = this.certificateOf(serial);
    return revoked;
  }

  /** What was issued, newest first. */
  list(options: ListOptions = {}): IssuedCertificate[] {
    return this.store.list(this.clock.now(), options);
  }

  /** One issued certificate with its PEM. @throws MoveError `CERTIFICATE_UNKNOWN`. */
  certificateOf(serial: string): IssuedCertificate & { certificatePem: string } {
    const found = this.store.find(serial);
    if (found) return found;
    throw new MoveError(
      'CERTIFICATE_UNKNOWN',
      `This authority never issued a certificate with the serial number ${serial.slice(0, 64)}. Look it up in the list.`,
      { serial: serial.slice(0, 64) },
    );
  }

  /** Serial numbers of revoked certificates whose time is not over; what `authorise` takes. */
  revokedSerials(): Set<string> {
    return new Set(this.store.revoked(this.clock.now()).map((certificate) => certificate.serial));
  }

  /**
   * Signs a revocation list with the next number. A certificate stays on it for one list's lifetime beyond
   * its own end (RFC 5280 section 3.3).
   */
  async certificateRevocationList(): Promise<string> {
    const signer = this.openSigner();
    const now = this.clock.now();
    const revoked = this.store.revoked(now - LIST_LIFETIME_MS);
    return signRevocationList(revoked, this.store.nextRevocationListNumber(), now, signer);
  }

  /**
   * Signs a statement that is no certificate: ECDSA P-256 with SHA-256 (IEEE P1363, base64) over the purpose, a line
   * feed and the canonical JSON. The purpose keeps a signature from being taken for one of something else.
   * @throws MoveError `AUTHORITY_CLOSED`, `REQUEST_INVALID`.
   */
  async signStatement(purpose: string, statement: unknown): Promise<string> {
    return signStatement(this.openSigner().signingKey, purpose, statement);
  }

  /** Lets go of the key and closes the store. Safe to call twice. */
  close(): void {
    if (!this.signer) return;
    this.signer = null;
    this.store.close();
  }

  private async refuse(request: { profile: unknown; name: unknown }, thrown: unknown): Promise<MoveError> {
    const error = toMoveError(thrown);
    await this.log.refused({
      profile: String(request.profile).slice(0, 80),
      name: String(request.name).slice(0, 80),
      code: error.code,
      message: error.message,
    });
    return error;
  }

  private renewable(known: IssuedCertificate & { certificatePem: string }): RenewalFamily {
    const deny = (why: string) =>
      new MoveError('RENEWAL_DENIED', `This certificate is not renewed: ${why}.`, { serial: known.serial });
    const { boundAddress, boundAccessPoint } = readIdentity(new X509Certificate(known.certificatePem));
    if (known.profile !== 'client') throw deny('only those of clients are');
    if (boundAddress !== undefined || boundAccessPoint !== undefined)
      throw deny('it was earned by a human test, so pass the test again');
    if (known.notAfter < this.clock.now())
      throw deny('its time is over, so ask the administrator for a new one');
    const family = this.store.familyOf(known.serial);
    if (!family) throw deny('the administrator allowed no renewal, so ask for a new one');
    if (family.serials.some((serial) => this.certificateOf(serial).revokedAt !== null))
      throw deny('it or one that it came from was revoked');
    if (family.serials.length > family.allowed)
      throw deny(`it was renewed ${family.allowed} times, as often as the administrator allowed`);
    return family;
  }

  private async runPipeline(
    { key, ...subject }: IssueRequest,
    {
      renewed,
      given = [],
    }: { renewed?: { family: RenewalFamily; renewal: IssuedRenewal }; given?: readonly string[] } = {},
  ): Promise<Issued> {
    const signer = this.openSigner();
    const now = this.clock.now();
    const request = checkSubjectRequest(subject);
    const publicKey = await checkKeyRequest(key, request.name);
    const draft = applyProfile(request, publicKey, now, {
      notBefore: this.certificate.validFromDate.getTime(),
      notAfter: this.certificate.validToDate.getTime(),
    });
    checkDraft(draft, signer);
    this.checkScope(draft, given);
    const { certificate, identity } = await signDraft(draft, newSerial(), signer);
    // Whoever trusts the operator alone learns from the holder by whom it was signed.
    const certificatePem = `${certificate.toString()}${this.operator ? this.certificate.toString() : ''}`;
    const record: IssuedCertificate = {
      serial: identity.serial,
      name: identity.name,
      profile: draft.profile.name,
      services: identity.services,
      issuedAt: Math.floor(now),
      notBefore: identity.notBefore,
      notAfter: identity.notAfter,
      revokedAt: null,
      reason: null,
      fingerprint256: identity.fingerprint,
    };
    // Judged again, since others may have been renewed or revoked while this one was signed.
    if (renewed) this.renewable(this.certificateOf(renewed.renewal.from));
    this.store.add(record, certificatePem);
    if (renewed) this.store.addToFamily(record.serial, renewed.family);
    await this.log.issued(record, renewed?.renewal);
    return { certificatePem, authorityPem: this.certificatePem, identity };
  }

  /** An organisation stays within its scope; an operator gives nothing to two holders. */
  private checkScope(
    { profile, claims, addresses, hostnames }: CertificateDraft,
    given: readonly string[],
  ): void {
    if (this.operator) {
      checkOrganisation({ ...claims, addresses }, readIdentity(this.certificate));
      // Programs take a common name with a dot for a host name where no other stands (RFC 6125 section 6.4.4).
      if (hostnames.length === 0 && claims.name.includes('.'))
        throw new MoveError(
          'SCOPE_DENIED',
          `An organisation cannot certify the name ${claims.name}: it holds a dot.`,
        );
      return;
    }
    if (!(['organisation', 'service', 'site'] as const).some((name) => name === profile.name)) return;
    const services = claims.services === 'any' ? [] : claims.services;
    const wanted = { services, sites: profile.name === 'site' ? [claims.name] : (claims.sites ?? []) };
    const now = this.clock.now();
    for (const taken of this.store.holding(['organisation'], now)) {
      const { name, services: held, sites = [] } = readIdentity(new X509Certificate(taken.certificatePem));
      // Its next certificate, and a wider scope, go to the same name.
      if (profile.name === 'organisation' && name === claims.name) continue;
      checkUntaken(wanted, {
        holder: `the organisation ${name}`,
        services: held === 'any' ? [] : held,
        sites,
      });
    }
    if (profile.name !== 'organisation') return;
    for (const { profile: kind, name } of this.store.holding(['service', 'site'], now)) {
      if (kind === 'site' && given.includes(name)) continue;
      const taken = kind === 'site' ? { services: [], sites: [name] } : { services: [name], sites: [] };
      checkUntaken(wanted, { holder: 'the operator', ...taken });
    }
  }

  private openSigner(): Signer {
    if (this.signer) return this.signer;
    throw new MoveError('AUTHORITY_CLOSED', 'The authority is closed. Open it with its passphrase first.');
  }
}
