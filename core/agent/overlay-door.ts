import type { X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type DoorConfiguration, doorConfigurationSchema } from '../contract/door-configuration.ts';
import { ConstrainedAuthority } from '../credentials/constrained-authority.ts';
import { HumanTest } from '../credentials/human-test/human-test.ts';
import { generateKeyAndRequest } from '../credentials/key-request.ts';
import { PasswordAdmission } from '../credentials/password/password-admission.ts';
import { passwordPeopleSchema } from '../credentials/password/people.ts';
import { AdmissionDesk } from '../overlay/admission/admission-desk.ts';
import type { AdmissionEvent } from '../overlay/admission/admission-method.ts';
import { HumanTestAdmission } from '../overlay/admission/human-test-admission.ts';
import { PasswordMethod } from '../overlay/admission/password-method.ts';
import type { VisitorSession } from '../overlay/admission/visitor-sessions.ts';
import type { Door } from '../overlay/door/door.ts';
import type { DoorTlsIdentity } from '../overlay/door/door-tls.ts';
import type { OverlayNode } from '../overlay/overlay-node.ts';
import { systemClock } from '../runtime/clock.ts';
import { DurableFile } from '../runtime/durable-file.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { secureRandom } from '../runtime/random.ts';
import type { AgentHandlers, RoleContext } from './role.ts';

/** The keys that an access point makes for itself and never gives away. */
const keys = ['door', 'admission'] as const;
type KeyName = (typeof keys)[number];

interface Settled {
  configuration: DoorConfiguration;
  tls: DoorTlsIdentity;
  authority: ConstrainedAuthority;
}

/**
 * The door of an access point as its agent keeps it: two keys of its own, and the configuration, durably. A new
 * configuration is taken over while people are connected.
 */
export class OverlayDoor {
  readonly #context: RoleContext;
  readonly #file: DurableFile<DoorConfiguration | null>;
  readonly #passwords: PasswordAdmission;
  readonly #desk: AdmissionDesk;
  #settled: Settled | null = null;
  #node: OverlayNode | null = null;
  #door: Door | null = null;
  #changing: Promise<void> = Promise.resolve();

  private constructor(context: RoleContext) {
    this.#context = context;
    this.#file = new DurableFile<DoorConfiguration | null>(
      join(context.directories.state, 'door.json'),
      doorConfigurationSchema.nullable(),
    );
    this.#passwords = new PasswordAdmission({
      clock: systemClock,
      random: secureRandom,
      people: { version: 1, people: [] },
    });
    const human = new HumanTest({
      clock: systemClock,
      random: secureRandom,
      stress: () => (this.#door ? this.#door.load : 0),
      kinds: () => (this.#settled?.configuration.humanTest.sound === false ? ['image'] : ['image', 'sound']),
    });
    this.#desk = new AdmissionDesk({
      methods: [
        new HumanTestAdmission({
          test: human,
          services: () => this.#settled?.configuration.humanTest.services ?? [],
          random: secureRandom,
        }),
        new PasswordMethod({
          passwords: this.#passwords,
          isOpen: () => (this.#settled?.configuration.people.length ?? 0) > 0,
        }),
      ],
      authority: () => this.#settledNow().authority,
      lifetimeMs: () => this.#settledNow().configuration.humanTest.lifetimeMinutes * 60_000,
      events: (event) => this.#onAdmission(event),
      clock: systemClock,
      random: secureRandom,
    });
  }

  /** Takes up the last configuration; the door is opened by `openAt`. */
  static async restore(context: RoleContext): Promise<OverlayDoor> {
    const door = new OverlayDoor(context);
    const known = await door.#file.read(null);
    if (known)
      await door
        .#settle(known)
        .catch((thrown) => context.log(`the door's last configuration: ${toMoveError(thrown).message}`));
    return door;
  }

  /** The certificate of this access point's own authority, by which its visitors are judged. */
  get authorityCertificate(): X509Certificate | undefined {
    return this.#settled?.authority.certificate;
  }

  /** Opens the door at a node, now or when its first configuration comes. It closes with the node. */
  async openAt(node: OverlayNode): Promise<void> {
    this.#node = node;
    // Without its door a node is still a node.
    await this.#open().catch((thrown) => this.#context.log(`the door: ${toMoveError(thrown).message}`));
  }

  status(): { doorConnections: number; visitors: number } {
    return { doorConnections: this.#door?.connections ?? 0, visitors: this.#desk.visitors };
  }

  readonly handlers: Pick<AgentHandlers, 'overlay.doorRequest' | 'overlay.door' | 'overlay.visitors'> = {
    'overlay.doorRequest': async () => ({
      doorPem: await this.#request('door'),
      authorityPem: await this.#request('admission'),
    }),
    'overlay.visitors': () => ({
      visitors: this.#desk.admitted().map(({ notAfter, services, ...visitor }) => ({
        ...visitor,
        services: [...services],
        until: notAfter,
      })),
    }),
    'overlay.door': async (configuration) => {
      const next = this.#changing.then(async () => {
        await this.#settle(configuration);
        await this.#file.write(configuration);
        await this.#open();
        // Whoever is in what was closed just now, or was taken off the list, is put out.
        this.#desk.retain((session) => wouldBeAdmitted(session, configuration));
        this.#node?.recheck();
      });
      this.#changing = next.catch(() => undefined);
      await next;
      return {};
    },
  };

  async #open(): Promise<void> {
    if (this.#door || !this.#node || !this.#settled) return;
    const { address, port } = this.#settled.configuration.listen;
    this.#door = await this.#node.openDoor({
      listen: { host: address, port },
      tls: () => this.#settledNow().tls,
      services: () => this.#settledNow().configuration.services,
      desk: this.#desk,
      trustPem: () => this.#context.trustPem.join(''),
      accessPoints: () => this.#settledNow().configuration.accessPoints,
      program: join(this.#context.directories.software, 'dist', 'cli.mjs'),
    });
  }

  async #settle(configuration: DoorConfiguration): Promise<void> {
    const [doorKey, admissionKey] = await Promise.all(
      keys.map((name) => readFile(this.#path(name, 'key'), 'utf8')),
    );
    const people = passwordPeopleSchema.parse({ version: 1, people: configuration.people });
    this.#settled = {
      configuration,
      tls: {
        certificatePem: configuration.certificatePem,
        keyPem: doorKey ?? '',
        trustPem: this.#context.trustPem,
      },
      authority: new ConstrainedAuthority({
        certificatePem: configuration.authorityPem,
        keyPem: admissionKey ?? '',
        authorityPem: this.#context.trustPem.join(''),
      }),
    };
    this.#passwords.replacePeople(people);
  }

  #settledNow(): Settled {
    if (this.#settled) return this.#settled;
    throw new MoveError('ADMISSION_CLOSED', 'This access point has no door yet. Try another one.');
  }

  async #request(name: KeyName): Promise<string> {
    const existing = await readFile(this.#path(name, 'request'), 'utf8').catch((thrown) => {
      if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw thrown;
    });
    if (existing !== null) return existing;
    const { privateKeyPem, requestPem } = await generateKeyAndRequest(this.#context.host);
    await writeFile(this.#path(name, 'key'), privateKeyPem, { mode: 0o600 });
    await writeFile(this.#path(name, 'request'), requestPem, { mode: 0o600 });
    return requestPem;
  }

  #path(name: KeyName, kind: 'key' | 'request'): string {
    return join(this.#context.directories.state, `${name}.${kind}.pem`);
  }

  #onAdmission(event: AdmissionEvent): void {
    const { events, log } = this.#context;
    if (event.type === 'admission-refused') {
      // People mistype; who tries too often is slowed down, and a journal that they fill helps nobody.
      log(`not admitted by ${event.method} from ${event.address}: ${event.error.code}`);
      return;
    }
    const { method, name, serial, services, address, notAfter } = event;
    events.tell({
      type: 'admitted',
      at: systemClock.now(),
      method,
      name,
      serial,
      services: [...services],
      address,
      until: notAfter,
    });
  }
}

function wouldBeAdmitted(
  { method, credential }: VisitorSession,
  { humanTest, people }: DoorConfiguration,
): boolean {
  const { name, services } = credential.identity;
  const allowed =
    method === 'human-test'
      ? humanTest.services
      : (people.find((person) => person.name === name)?.services ?? []);
  return services !== 'any' && services.every((service) => allowed.includes(service));
}
