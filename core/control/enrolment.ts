import { createHash, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import type { AgentConfiguration, AgentContract } from '../contract/agent-contract.ts';
import type { Client } from '../contract/channel.ts';
import type { ListedNode } from '../contract/node-list.ts';
import type { Authority } from '../credentials/authority.ts';
import type { FleetManifest, LabHost } from '../lab/manifest.ts';
import { ringIdentifierOf } from '../ring/identifier.ts';
import { DurableFile } from '../runtime/durable-file.ts';
import { endpointOf, publicAddress, rolesOf } from './host-plan.ts';
import type { NodeListKeeper } from './node-list-keeper.ts';

const enrolmentsSchema = z.object({
  labId: z.string(),
  hosts: z.record(z.string(), z.object({ request: z.string(), certificatePem: z.string() })),
});
type Enrolments = z.infer<typeof enrolmentsSchema>;

/**
 * Gives every agent its certificate and its configuration. A host that asks again with the same key gets
 * the certificate it has; overlay nodes are configured once all of them have one, because the ring starts
 * with all its first members (Zave: successor-list length + 1 at least).
 */
export class Enrolment {
  readonly #authority: Authority;
  readonly #manifest: FleetManifest;
  readonly #isOwn: (host: string) => boolean;
  readonly #file: DurableFile<Enrolments>;
  readonly #revoked: () => string[];
  readonly #paths: () => AgentConfiguration['paths'];
  readonly #services: () => readonly string[];
  readonly #nodeList: Pick<NodeListKeeper, 'offer' | 'current'>;
  readonly #certificates = new Map<string, { request: string; certificatePem: string }>();
  /** By certificate: the observer asks several times a second. */
  readonly #identifiers = new Map<string, string>();
  readonly #ringReady: Promise<void>;
  #resolveRing: () => void = () => undefined;
  #saving: Promise<void> = Promise.resolve();

  constructor(options: {
    authority: Authority;
    manifest: FleetManifest;
    /** Whether a host is this control plane's to enrol. */
    isOwn: (host: string) => boolean;
    directory: string;
    revoked: () => string[];
    paths: () => AgentConfiguration['paths'];
    /** What may live at the sites: their certificates name it. */
    services: () => readonly string[];
    nodeList: Pick<NodeListKeeper, 'offer' | 'current'>;
  }) {
    this.#authority = options.authority;
    this.#manifest = options.manifest;
    this.#isOwn = options.isOwn;
    this.#revoked = options.revoked;
    this.#paths = options.paths;
    this.#services = options.services;
    this.#nodeList = options.nodeList;
    this.#file = new DurableFile(join(options.directory, 'enrolments.json'), enrolmentsSchema);
    this.#ringReady = new Promise((resolve) => {
      this.#resolveRing = resolve;
    });
  }

  /** Takes up what was enrolled before a restart, unless the lab is another one. */
  async restore(): Promise<void> {
    const known = await this.#file.read({ labId: this.#manifest.labId, hosts: {} });
    if (known.labId !== this.#manifest.labId) return;
    for (const [host, enrolled] of Object.entries(known.hosts)) this.#certificates.set(host, enrolled);
  }

  /** Forgets a host that is somebody else's now. */
  async forget(host: string): Promise<void> {
    if (this.#certificates.delete(host)) await this.#save();
  }

  /** Certifies and configures the agent of a host; resolves when it does what it is there for. */
  async enrol(host: LabHost, client: Client<AgentContract>): Promise<void> {
    const { requestPem } = await client.call('agent.request', { name: host.name }, { deadlineMs: 10_000 });
    const services = host.role === 'site' ? [...this.#services()].sort() : [];
    const request = createHash('sha256')
      .update([requestPem, ...services].join('\n'))
      .digest('hex');
    let enrolled = this.#certificates.get(host.name);
    if (enrolled?.request !== request) {
      const issued = await this.#authority.issue({
        profile: host.role,
        name: host.name,
        addresses: [...new Set(Object.values(host.addresses))],
        ...(host.role === 'site' ? { services } : {}),
        key: { requestPem },
      });
      enrolled = { request, certificatePem: issued.certificatePem };
      this.#certificates.set(host.name, enrolled);
      await this.#save();
    }
    if (host.role === 'overlay') {
      if (this.#allOverlayEnrolled()) {
        // Without a list the ring runs as well; the keeper tries again by itself.
        await this.list().catch(() => undefined);
        this.#resolveRing();
      }
      await this.#ringReady;
    }
    const nodeList = this.#nodeList.current;
    await client.call(
      'agent.configure',
      {
        host: host.name,
        certificatePem: enrolled.certificatePem,
        trustPem: this.#authority.certificatePem,
        roles: rolesOf(host, this.#manifest, this.identifiers()),
        revoked: this.#revoked(),
        organisations: this.#organisations(),
        paths: host.role === 'overlay' ? this.#paths() : {},
        ...(nodeList ? { nodeList } : {}),
      },
      { deadlineMs: 20_000 },
    );
  }

  /**
   * Certifies the sites anew after services were added, since a site may announce only what its certificate names. One
   * that cannot be reached gets its new certificate when it is enrolled again.
   */
  async certifySites(agent: (host: string) => Promise<Client<AgentContract>>): Promise<void> {
    const sites = Object.values(this.#manifest.hosts).filter(
      ({ name, role }) => role === 'site' && this.#isOwn(name),
    );
    await Promise.allSettled(sites.map(async (site) => this.enrol(site, await agent(site.name))));
  }

  /** Sees to it that the signed list names the overlay nodes there are, and those that are revoked. */
  async list(): Promise<void> {
    if (this.#allOverlayEnrolled()) await this.#nodeList.offer(this.#listedNodes(), this.#revokedNodes());
  }

  /** The ring identifiers of the overlay nodes that have a certificate. */
  identifiers(): Map<string, string> {
    const identifiers = new Map<string, string>();
    for (const host of Object.values(this.#manifest.hosts)) {
      const enrolled = this.#certificates.get(host.name);
      if (host.role !== 'overlay' || !enrolled) continue;
      const identifier =
        this.#identifiers.get(enrolled.certificatePem) ??
        ringIdentifierOf(new X509Certificate(enrolled.certificatePem));
      this.#identifiers.set(enrolled.certificatePem, identifier);
      identifiers.set(host.name, identifier);
    }
    return identifiers;
  }

  /** The node that a public address belongs to; the address when it is nobody's. */
  nameOf(address: string): string {
    const host = Object.values(this.#manifest.hosts).find(
      (known) => publicAddress(known) === address.split(':')[0],
    );
    return host?.name ?? address;
  }

  /** An organisation's sites know each other by its authority, and everybody else by the operator's. */
  #organisations(): string[] {
    const { organisation, certificate } = this.#authority;
    return organisation ? [certificate.toString()] : this.#authority.organisations();
  }

  #save(): Promise<void> {
    this.#saving = this.#saving.then(() =>
      this.#file.write({ labId: this.#manifest.labId, hosts: Object.fromEntries(this.#certificates) }),
    );
    return this.#saving;
  }

  #listedNodes(): ListedNode[] {
    const identifiers = this.identifiers();
    return Object.values(this.#manifest.hosts)
      .filter((host) => host.role === 'overlay')
      .map((host) => {
        const { name, address, port } = endpointOf(host);
        return { name, address: `${address}:${port}`, identifier: identifiers.get(name) ?? '' };
      });
  }

  /** Serials of overlay nodes whose certificates somebody revoked before they ended. */
  #revokedNodes(): string[] {
    return this.#authority
      .list({ includeExpired: false })
      .filter(({ profile, revokedAt }) => profile === 'overlay' && revokedAt !== null)
      .map(({ serial }) => serial.toUpperCase());
  }

  #allOverlayEnrolled(): boolean {
    return Object.values(this.#manifest.hosts)
      .filter((host) => host.role === 'overlay')
      .every((host) => this.#certificates.has(host.name));
  }
}
