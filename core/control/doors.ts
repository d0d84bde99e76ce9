import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import type { AgentContract } from '../contract/agent-contract.ts';
import type { Client } from '../contract/channel.ts';
import type { LabHost } from '../lab/manifest.ts';
import { DurableFile } from '../runtime/durable-file.ts';
import { toMoveError } from '../runtime/errors.ts';
import type { Admissions } from './admissions-control.ts';
import type { ControlContext } from './control-context.ts';
import { endpointOf, publicAddress } from './host-plan.ts';

/** The port on which access points take browsers. */
export const doorPort = 8443;

const certifiedSchema = z.object({
  /** Of what was asked for: requests and names. */
  asked: z.string(),
  certificatePem: z.string(),
});
const doorsSchema = z.object({
  labId: z.string(),
  hosts: z.record(z.string(), z.object({ door: certifiedSchema, authority: certifiedSchema })),
});
type Doors = z.infer<typeof doorsSchema>;

const askDeadlineMs = 10_000;

/**
 * Gives every access point what its door for browsers needs: a certificate for its address and for the host names of
 * the services, a constrained authority for what is open to people without a certificate, and who may come in how.
 * A service that comes or goes and a setting that changes reach all doors at once.
 */
export class DoorKeeper {
  readonly #context: ControlContext;
  readonly #admissions: Admissions;
  readonly #file: DurableFile<Doors>;
  #hosts: Doors['hosts'] = {};
  #stopListening: () => void = () => undefined;
  #told = '';
  #saving: Promise<void> = Promise.resolve();

  constructor(context: ControlContext, admissions: Admissions) {
    this.#context = context;
    this.#admissions = admissions;
    this.#file = new DurableFile(join(context.home, 'doors.json'), doorsSchema);
  }

  /** Takes up what was certified before a restart, unless the lab is another one; listens for services. */
  async start(): Promise<void> {
    const { labId } = this.#context.manifest;
    const known = await this.#file.read({ labId, hosts: {} });
    if (known.labId === labId) this.#hosts = known.hosts;
    this.#told = this.#wanted();
    this.#stopListening = this.#context.store.listen(() => {
      const wanted = this.#wanted();
      if (wanted === this.#told) return;
      this.#told = wanted;
      void this.tellAll();
    });
  }

  stop(): void {
    this.#stopListening();
  }

  /** Everything that doors have to be told of, as one text. */
  #wanted(): string {
    const services = [...this.#context.services.values()].map(({ hostname, port }) => [hostname, port]);
    return JSON.stringify([services.sort(), this.#admissions.settings()]);
  }

  /** Tells every access point that answers; the others are told when they come back. Returns how many were told. */
  async tellAll(): Promise<number> {
    const hosts = Object.values(this.#context.manifest.hosts).filter((host) => host.role === 'overlay');
    const told = await Promise.all(
      hosts.map(async (host) => {
        try {
          await this.equip(host, await this.#context.agent(host.name));
          return true;
        } catch (thrown) {
          this.#context.log(`the door of ${host.name}: ${toMoveError(thrown).message}`);
          return false;
        }
      }),
    );
    return told.filter(Boolean).length;
  }

  /** Certifies and configures the door of one access point. */
  async equip(host: LabHost, client: Client<AgentContract>): Promise<void> {
    const requests = await client.call('overlay.doorRequest', {}, { deadlineMs: askDeadlineMs });
    const services = [...this.#context.services.values()].map(({ hostname, port }) => ({ hostname, port }));
    const { open, lifetimeMinutes, sound, people } = await this.#admissions.forDoors();
    const address = publicAddress(host);
    const known = this.#hosts[host.name];
    const door = await this.#certify(known?.door, {
      profile: 'door',
      name: host.name,
      addresses: [address],
      hostnames: services.map(({ hostname }) => hostname).sort(),
      key: { requestPem: requests.doorPem },
    });
    const grantable = new Set([...open, ...people.flatMap((person) => person.services)]);
    const authority = await this.#certify(known?.authority, {
      profile: 'access-point',
      name: host.name,
      services: [...grantable].sort(),
      key: { requestPem: requests.authorityPem },
    });
    if (door !== known?.door || authority !== known.authority) {
      this.#hosts[host.name] = { door, authority };
      const { labId } = this.#context.manifest;
      this.#saving = this.#saving.then(() => this.#file.write({ labId, hosts: { ...this.#hosts } }));
      await this.#saving;
    }
    const own = endpointOf(host);
    const others = Object.values(this.#context.manifest.hosts)
      .filter((other) => other.role === 'overlay' && other.name !== host.name)
      .map(endpointOf);
    await client.call(
      'overlay.door',
      {
        listen: { address, port: doorPort },
        certificatePem: door.certificatePem,
        authorityPem: authority.certificatePem,
        services,
        humanTest: { services: open, lifetimeMinutes, sound },
        people,
        accessPoints: [own, ...others].map((endpoint) => `${endpoint.address}:${endpoint.port}`),
      },
      { deadlineMs: askDeadlineMs },
    );
  }

  /** The certificate that answers the same question already, or a new one. */
  async #certify(
    known: z.infer<typeof certifiedSchema> | undefined,
    request: Parameters<ControlContext['authority']['issue']>[0],
  ): Promise<z.infer<typeof certifiedSchema>> {
    const asked = createHash('sha256').update(JSON.stringify(request)).digest('hex');
    if (known?.asked === asked) return known;
    const { certificatePem } = await this.#context.authority.issue(request);
    return { asked, certificatePem };
  }
}
