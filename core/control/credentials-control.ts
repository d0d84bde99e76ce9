import { X509Certificate } from 'node:crypto';
import type { CheckedInputOf, OutputOf } from '../contract/contract.ts';
import type { Credential } from '../contract/domain.ts';
import type { Authority } from '../credentials/authority.ts';
import { readIdentity } from '../credentials/identity.ts';
import type { IssuanceLog, IssuedCertificate } from '../credentials/issuance-log.ts';
import { MoveError } from '../runtime/errors.ts';
import { sshPublicKeySchema } from './granted-ways.ts';
import type { Share } from './handovers.ts';
import type { Recorder } from './recorder.ts';

/** A certificate as shells see it. */
export function credentialOf(issued: IssuedCertificate): Credential {
  return {
    id: issued.serial,
    name: issued.name,
    profile: issued.profile,
    services: issued.services,
    notBefore: issued.notBefore,
    notAfter: issued.notAfter,
    revokedAt: issued.revokedAt,
    reason: issued.reason,
    fingerprint256: issued.fingerprint256,
  };
}

/** Writes what the authority does into the journal, before anybody gets to see the result. */
export function issuanceLogOf(recorder: () => Recorder): IssuanceLog {
  return {
    issued: (issued, renewal) =>
      recorder().record({
        kind: 'observation',
        type: renewal ? 'credential.renewed' : 'credential.issued',
        tone: issued.profile === 'client' ? 'plain' : 'muted',
        text: renewal
          ? `Certificate renewed: ${issued.profile} ${issued.name}, ${renewal.left} more times allowed.`
          : `Certificate issued: ${issued.profile} ${issued.name}.`,
        subject: issued.name,
        ...(renewal ? { data: { from: renewal.from, to: issued.serial } } : {}),
        changes: [
          { op: 'upsert', collection: 'credentials', id: issued.serial, value: credentialOf(issued) },
        ],
      }),
    revoked: (issued) =>
      recorder().record({
        kind: 'observation',
        type: 'credential.revoked',
        tone: 'decision',
        text: `Certificate revoked: ${issued.profile} ${issued.name} (${issued.reason ?? 'unspecified'}).`,
        subject: issued.name,
        changes: [
          { op: 'upsert', collection: 'credentials', id: issued.serial, value: credentialOf(issued) },
        ],
      }),
    refused: (refusal) =>
      recorder().record({
        kind: 'observation',
        type: 'credential.refused',
        tone: 'attack',
        text: `No certificate for ${refusal.profile} ${refusal.name}: ${refusal.message}`,
        data: { code: refusal.code },
      }),
  };
}

const dayMs = 24 * 3600 * 1000;

/** Gives an operator's sites to organisations. */
interface SiteGiver {
  givable(sites: readonly string[]): string[];
  give(order: {
    organisation: string;
    sites: readonly string[];
    authorityPem: string;
    sshKey: string;
  }): Promise<Share>;
}

function readSshKey(line: string): string {
  const parsed = sshPublicKeySchema.safeParse(line);
  if (parsed.success) return parsed.data;
  throw new MoveError(
    'SSH_KEY_UNREADABLE',
    `The key for SSH cannot be taken: ${parsed.error.issues[0]?.message}.`,
  );
}

/** Issuance by hand and what belongs to it. */
export class Credentials {
  readonly #authority: Authority;
  readonly #tellAccessPoints: () => Promise<number>;
  readonly #tellOrganisations: () => Promise<number>;
  readonly #sites: SiteGiver;

  constructor(
    authority: Authority,
    tellAccessPoints: () => Promise<number>,
    tellOrganisations: () => Promise<number>,
    sites: SiteGiver,
  ) {
    this.#authority = authority;
    this.#tellAccessPoints = tellAccessPoints;
    this.#tellOrganisations = tellOrganisations;
    this.#sites = sites;
  }

  /**
   * Admits an organisation to the overlay: signs its authority, for its services and sites alone, and tells every node.
   * With its key for SSH it is given those of its sites that are the operator's until now. `credential.revoke` ends the
   * admission, with everything that the organisation has signed.
   * @throws MoveError `SCOPE_TAKEN`, `SITE_BUSY`, `REQUEST_INVALID`, `REQUEST_UNPROVEN`, `KEY_WEAK`, `LIFETIME_DENIED`,
   * and of hosts that do not answer; what had begun is ended when the control plane starts again.
   */
  async admitOrganisation(
    request: CheckedInputOf<'organisation.admit'>,
  ): Promise<OutputOf<'organisation.admit'>> {
    const sshKey = request.sshKey === undefined ? null : readSshKey(request.sshKey);
    const given = sshKey === null ? [] : this.#sites.givable(request.sites);
    const issued = await this.#authority.admit(
      {
        name: request.name,
        services: request.services,
        sites: request.sites,
        lifetimeMs: Math.round(request.days * dayMs),
        key: { requestPem: request.requestPem },
      },
      given,
    );
    const { certificatePem, ...record } = this.#authority.certificateOf(issued.identity.serial);
    let share: Share | null = null;
    if (sshKey !== null)
      share = await this.#sites.give({
        organisation: request.name,
        sites: given,
        authorityPem: certificatePem,
        sshKey,
      });
    if (given.length > 0) await this.#tellAccessPoints();
    return {
      given,
      share,
      credential: credentialOf(record),
      sites: request.sites,
      certificatePem,
      trustPem: issued.authorityPem,
      nodesTold: await this.#tellOrganisations(),
    };
  }

  /** The organisations that share the overlay now. */
  listOrganisations(): OutputOf<'organisation.list'> {
    const organisations = this.#authority.organisations().map((pem) => {
      const { serial, name, services, sites = [], notAfter } = readIdentity(new X509Certificate(pem));
      return { serial, name, services: services === 'any' ? [] : services, sites, notAfter };
    });
    return { organisations };
  }

  async issue(request: CheckedInputOf<'credential.issue'>): Promise<OutputOf<'credential.issue'>> {
    const issued = await this.#authority.issueByHand({
      profile: 'client',
      name: request.name,
      services: request.services,
      lifetimeMs: Math.round(request.days * dayMs),
      password: request.password,
      renewals: request.renewals,
    });
    const { certificatePem: _, ...record } = this.#authority.certificateOf(issued.identity.serial);
    return {
      credential: credentialOf(record),
      certificatePem: issued.certificatePem,
      keyPem: issued.privateKeyPem,
      trustPem: issued.authorityPem,
      pkcs12Base64: issued.pkcs12.toString('base64'),
    };
  }

  /** @throws MoveError `REQUEST_INVALID`, `REQUEST_UNPROVEN`, `KEY_WEAK`, `LIFETIME_DENIED`. */
  async sign(request: CheckedInputOf<'credential.sign'>): Promise<OutputOf<'credential.sign'>> {
    const issued = await this.#authority.issue({
      profile: 'client',
      name: request.name,
      services: request.services,
      lifetimeMs: Math.round(request.days * dayMs),
      key: { requestPem: request.requestPem },
    });
    const { certificatePem, ...record } = this.#authority.certificateOf(issued.identity.serial);
    return { credential: credentialOf(record), certificatePem, trustPem: issued.authorityPem };
  }

  list(request: CheckedInputOf<'credential.list'>): OutputOf<'credential.list'> {
    return {
      credentials: this.#authority.list({ includeExpired: request.includeExpired }).map(credentialOf),
    };
  }

  /** Revokes, and returns when every access point that answers has cut what the certificate held. */
  async revoke(request: CheckedInputOf<'credential.revoke'>): Promise<OutputOf<'credential.revoke'>> {
    const begun = performance.now();
    const revoked = await this.#authority.revoke(request.serial.toUpperCase(), request.reason);
    const accessPointsTold = await this.#tellAccessPoints();
    return {
      credential: credentialOf(revoked),
      accessPointsTold,
      toldWithinMs: Math.round(performance.now() - begun),
    };
  }

  async trust(): Promise<OutputOf<'credential.trust'>> {
    return {
      trustPem: this.#authority.certificatePem,
      revocationListPem: await this.#authority.certificateRevocationList(),
    };
  }
}
