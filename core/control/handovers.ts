import { join } from 'node:path';
import { z } from 'zod';
import type { Change } from '../contract/state.ts';
import type { FleetManifest } from '../lab/manifest.ts';
import { DurableFile } from '../runtime/durable-file.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import type { ControlContext } from './control-context.ts';
import { grantedWays, replaceWaysScript } from './granted-ways.ts';

const givenSchema = z.object({
  labId: z.string(),
  sites: z.record(
    z.string(),
    z.object({
      organisation: z.string(),
      authorityPem: z.string(),
      isDone: z.boolean().describe('its agent obeys the organisation'),
    }),
  ),
  keys: z.record(z.string(), z.string()).describe('the public key for SSH of each organisation'),
});
type Given = z.infer<typeof givenSchema>;

/** What an organisation's control plane has to know of the overlay that it shares: a fleet manifest without a key. */
export type Share = Omit<FleetManifest, 'sshKeyPath'>;

const stepDeadlineMs = 10_000;

interface HandoversParts {
  context: Pick<ControlContext, 'fleet' | 'manifest' | 'store' | 'recorder' | 'services' | 'log'>;
  directory: string;
  /** Has the agent of a host obey another authority; done already is fine. */
  handOver(host: string, authorityPem: string): Promise<void>;
  /** Lets go of a host: its certificate and its connection. */
  letGo(host: string): Promise<void>;
}

/**
 * Gives sites of an operator to organisations: the organisation's key for SSH is let through to them, and their agents
 * obey its authority from then on. What was intended is on disk before it is begun, so that a control plane that
 * starts again ends what another had begun.
 */
export class Handovers {
  readonly #parts: HandoversParts;
  readonly #file: DurableFile<Given>;
  #given: Given;

  constructor(parts: HandoversParts) {
    this.#parts = parts;
    this.#file = new DurableFile(join(parts.directory, 'handovers.json'), givenSchema);
    this.#given = { labId: parts.context.manifest.labId, sites: {}, keys: {} };
  }

  /** Takes up what was given before a restart, unless the lab is another one: its hosts know nothing of it. */
  async restore(): Promise<void> {
    const known = await this.#file.read(this.#given);
    if (known.labId === this.#given.labId) this.#given = known;
  }

  /** The organisation that a site was given to, or null. */
  holderOf = (site: string): string | null => this.#given.sites[site]?.organisation ?? null;

  /**
   * Which of these sites are driven from here and can be given away now.
   * @throws MoveError `SITE_BUSY` when a service lives or is at home at one of them.
   */
  givable(sites: readonly string[]): string[] {
    const { manifest, store, services } = this.#parts.context;
    const own = sites.filter(
      (site) => manifest.hosts[site]?.role === 'site' && store.state.sites[site]?.holder === undefined,
    );
    for (const site of own) {
      const here = [...services.values()].filter(
        ({ hostname, homeSite }) => homeSite === site || store.state.services[hostname]?.site === site,
      );
      const coming = Object.values(store.state.moves).filter(
        (move) => (move.from === site || move.to === site) && (move.endedAt === null || move.owed !== null),
      );
      const [busy] = [...here.map(({ hostname }) => hostname), ...coming.map(({ service }) => service)];
      if (busy !== undefined)
        throw new MoveError(
          'SITE_BUSY',
          `${site} is not given away: ${busy} lives there, is at home there or is on its way. Move or remove it first.`,
          { site, service: busy },
        );
    }
    return own;
  }

  /** Gives sites away; answers when their agents obey the organisation. What fails is tried again at the next start. */
  async give(order: {
    organisation: string;
    sites: readonly string[];
    authorityPem: string;
    sshKey: string;
  }): Promise<Share> {
    const { organisation, sites, authorityPem, sshKey } = order;
    // Its next certificate has the same key: what it was given before stays given.
    const before = this.#sitesOf(organisation);
    const added = Object.fromEntries(
      sites.map((site) => [site, { organisation, authorityPem, isDone: false }]),
    );
    this.#given = {
      ...this.#given,
      sites: { ...this.#given.sites, ...added },
      keys: { ...this.#given.keys, [organisation]: sshKey },
    };
    await this.#file.write(this.#given);
    await this.#openWays(organisation);
    for (const site of sites) await this.#handOver(site);
    return this.#shareOf([...new Set([...before, ...sites])]);
  }

  /** Ends what an earlier control plane had begun. */
  async goOn(admitted: ReadonlySet<string>): Promise<void> {
    await this.closeWays(admitted);
    for (const [site, { organisation, isDone }] of Object.entries(this.#given.sites)) {
      if (isDone) continue;
      try {
        await this.#openWays(organisation);
        await this.#handOver(site);
      } catch (thrown) {
        this.#parts.context.log(`giving ${site} to ${organisation}: ${toMoveError(thrown).message}`);
      }
    }
  }

  /** Lets nobody pass any more who is not among these organisations; their sites stay as they are. */
  async closeWays(admitted: ReadonlySet<string>): Promise<void> {
    const { manifest, fleet, log } = this.#parts.context;
    for (const [organisation, key] of Object.entries(this.#given.keys)) {
      if (admitted.has(organisation)) continue;
      const sites = this.#sitesOf(organisation);
      try {
        for (const host of grantedWays(manifest, sites, organisation, key).keys()) {
          if (sites.includes(host)) continue;
          const connection = await fleet.connection(host);
          await connection.run(replaceWaysScript(organisation), { deadlineMs: stepDeadlineMs, input: '' });
        }
        const { [organisation]: _closed, ...keys } = this.#given.keys;
        this.#given = { ...this.#given, keys };
        await this.#file.write(this.#given);
      } catch (thrown) {
        log(`closing the ways of ${organisation}: ${toMoveError(thrown).message}`);
      }
    }
  }

  #sitesOf(organisation: string): string[] {
    return Object.entries(this.#given.sites)
      .filter(([, given]) => given.organisation === organisation)
      .map(([site]) => site);
  }

  async #openWays(organisation: string): Promise<void> {
    const { manifest, fleet } = this.#parts.context;
    const key = this.#given.keys[organisation];
    if (key === undefined) return;
    for (const [host, line] of grantedWays(manifest, this.#sitesOf(organisation), organisation, key)) {
      const connection = await fleet.connection(host);
      await connection.run(replaceWaysScript(organisation), {
        deadlineMs: stepDeadlineMs,
        input: `${line}\n`,
      });
    }
  }

  async #handOver(site: string): Promise<void> {
    const { context, handOver, letGo } = this.#parts;
    const given = this.#given.sites[site];
    if (!given) return;
    await handOver(site, given.authorityPem);
    this.#given = {
      ...this.#given,
      sites: { ...this.#given.sites, [site]: { ...given, isDone: true } },
    };
    await this.#file.write(this.#given);
    await letGo(site);
    const holder = `the organisation ${given.organisation}`;
    const changes: Change[] = [
      {
        op: 'patch',
        collection: 'sites',
        id: site,
        value: { holder, reach: 'unknown', pods: [], decoys: [], attacked: false, surge: null },
      },
    ];
    context.recorder.record({
      kind: 'observation',
      type: 'site.given',
      tone: 'decision',
      text: `${site} is given to ${holder}: its agent obeys that authority and no other.`,
      subject: site,
      changes,
    });
  }

  /** The overlay nodes, the organisation's sites, and the hosts on the way to those; nothing of anybody else's sites. */
  #shareOf(sites: readonly string[]): Share {
    const { labId, name, bridgeSocket, sshHostKey, sshUser, hosts, ring } = this.#parts.context.manifest;
    const stones = new Set(sites.map((site) => hosts[site]?.viaStone));
    const shared = Object.values(hosts).filter(
      (host) =>
        host.role === 'overlay' ||
        host.role === 'admin' ||
        sites.includes(host.name) ||
        stones.has(host.name),
    );
    return {
      labId,
      name,
      bridgeSocket,
      sshHostKey,
      sshUser,
      ...(ring ? { ring } : {}),
      hosts: Object.fromEntries(shared.map((host) => [host.name, host])),
      services: [],
      isShare: true,
    };
  }
}
