import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { OverlayStatus } from '../../core/contract/agent-contract.ts';
import type { Client } from '../../core/contract/channel.ts';
import type { Contract, InputOf, OutputOf } from '../../core/contract/contract.ts';
import type { JournalEvent, Move } from '../../core/contract/domain.ts';
import type { ConsoleState } from '../../core/contract/state.ts';
import { linkPort } from '../../core/control/host-plan.ts';
import { routeOf } from '../../core/control/route-of-service.ts';
import type { LabCounters } from '../../core/lab/control-protocol.ts';
import {
  labStatus,
  readLabCounters,
  rotateStone,
  setHostPower,
  setLink,
  startLab,
  stopLab,
} from '../../core/lab/lab.ts';
import type { LabLinkName, LabManifest } from '../../core/lab/manifest.ts';
import { cacheDirectory } from '../../core/lab/paths.ts';
import { type RunResult, runProgram } from '../../core/runtime/process.ts';
import { type Footprint, footprint, labImpossible, leftAfter } from './lab-fixture.ts';
import { until } from './world/conditions.ts';
import { Connected, type IssuedCredential, password, sha256 } from './world/connect.ts';
import { ControlProcess, cliProgram } from './world/control-process.ts';
import { LabHosts } from './world/lab-hosts.ts';

type LinkCounters = NonNullable<NonNullable<LabCounters['links'][string]>[LabLinkName]>;

export { until } from './world/conditions.ts';
export { Connected, password, sha256 } from './world/connect.ts';

export const service = 'shop.example';

/** The page that people see first, and its right bytes. */
export const homePage = {
  path: '/',
  sha256: sha256(readFileSync(path.resolve(import.meta.dirname, '../../assets/samples/shop/index.html'))),
};

/** Why the whole cannot be run here, or null. */
export function worldImpossible(): string | null {
  const lab = labImpossible();
  if (lab) return lab;
  if (!existsSync(cliProgram)) return 'the product is not built';
  for (const part of ['criu', 'images/apache'])
    if (!existsSync(path.join(cacheDirectory(), part))) return `${part} is not set up`;
  return null;
}

/** A copy of the service as one site has it. */
export interface Copy {
  site: string;
  state: 'running' | 'frozen' | 'fenced' | 'stopped' | 'unlisted';
  epoch: number;
  /** Processes in the pod's cgroup as the kernel counts them. */
  processes: number;
  /** Whether the kernel runs them. */
  thawed: boolean;
}

/**
 * The whole product over a lab of its own, in a state directory of its own: the lab, the real control
 * plane as a process, and the test's ways into all of it. `down` leaves nothing behind, or throws.
 */
export class World {
  readonly home: string;
  manifest: LabManifest;
  hosts: LabHosts;
  control: ControlProcess;
  readonly #footprint: Footprint;
  readonly #jumpingClock: boolean;

  private constructor(home: string, manifest: LabManifest, jumpingClock: boolean) {
    this.home = home;
    this.manifest = manifest;
    this.hosts = new LabHosts(manifest, home);
    this.#footprint = footprint(home);
    this.control = ControlProcess.spawn(home, jumpingClock);
    this.#jumpingClock = jumpingClock;
  }

  /** Brings everything up, by default on the default lab; resolves when the service answers at its home. */
  static async up({
    jumpingClock = false,
    ...options
  }: {
    spec?: string;
    /** Whether the controller's clock can be set: `control.jumpClock`. */
    jumpingClock?: boolean;
  } = {}): Promise<World> {
    const home = mkdtempSync(path.join(os.tmpdir(), 'move-world-'));
    const manifest = await startLab({ home, ...options }).catch((error: unknown) => {
      rmSync(home, { recursive: true, force: true });
      throw error;
    });
    const world = new World(home, manifest, jumpingClock);
    try {
      await world.control.ready();
      await world.until(
        'the service runs at home',
        (state) => state.services[service]?.state === 'running',
        60_000,
      );
      return world;
    } catch (error) {
      await world.down();
      throw error;
    }
  }

  get client(): Client<Contract> {
    return this.control.client;
  }

  get state(): ConsoleState {
    return this.control.state;
  }

  /** Waits until the console's state is as wanted. */
  until<T>(what: string, wanted: (state: ConsoleState) => T, limitMs: number): Promise<NonNullable<T>> {
    return until(what, () => wanted(this.control.state), limitMs, 10);
  }

  /** Starts the control plane again after it was killed, and returns at once: see `control.ready`. */
  respawnControl(): ControlProcess {
    this.control = ControlProcess.spawn(this.home, this.#jumpingClock);
    return this.control;
  }

  /** Takes the lab away and brings another one up in its place: its hosts know nothing of what was. */
  async replaceLab(): Promise<void> {
    await this.hosts.close();
    await stopLab({ home: this.home });
    this.manifest = await startLab({ home: this.home });
    this.hosts = new LabHosts(this.manifest, this.home);
  }

  /** Runs `move …` as people do, against this world. */
  cli(args: readonly string[], limitMs = 120_000): Promise<RunResult> {
    return runProgram(process.execPath, [cliProgram, ...args], {
      timeoutMs: limitMs,
      env: { ...process.env, MOVE_HOME: this.home },
    });
  }

  address(host: string, link: LabLinkName): string {
    const address = this.manifest.hosts[host]?.addresses[link];
    if (!address) throw new Error(`${host} has no ${link} address`);
    return address;
  }

  counters(): Promise<LabCounters> {
    return readLabCounters({ home: this.home });
  }

  async link(host: string, link: LabLinkName): Promise<LinkCounters> {
    const found = (await this.counters()).links[host]?.[link];
    if (!found) throw new Error(`nothing is counted on ${host} ${link}`);
    return found;
  }

  setLink(host: string, link: LabLinkName, up: boolean): Promise<void> {
    return setLink(host, link, up, { home: this.home });
  }

  setPower(host: string, on: boolean): Promise<void> {
    return setHostPower(host, on, { home: this.home });
  }

  rotate(stone: string, dropOld = false) {
    return rotateStone(stone, { home: this.home, dropOld });
  }

  async powerOf(host: string): Promise<'on' | 'off'> {
    const status = await labStatus({ home: this.home });
    return (status.running && status.hosts[host]?.power) || 'off';
  }

  issue(request: Partial<InputOf<'credential.issue'>> = {}): Promise<OutputOf<'credential.issue'>> {
    return this.client.call('credential.issue', {
      name: 'Ada Example',
      services: [service],
      days: 1,
      password,
      ...request,
    });
  }

  /** Where overlay nodes take clients in. */
  accessPoints(): string[] {
    return Object.values(this.manifest.hosts)
      .filter((host) => host.role === 'overlay')
      .map((host) => `${host.addresses.global}:${linkPort}`);
  }

  /** Runs `move connect` on a client host with a credential, by default one issued for it. */
  async connect(
    host: string,
    options: {
      credential?: IssuedCredential;
      accessPoints?: readonly string[];
      name?: string;
      forwards?: readonly string[];
      more?: string;
    } = {},
  ): Promise<Connected> {
    return Connected.start(this.hosts, host, {
      credential: options.credential ?? (await this.issue({ name: `person at ${host}` })),
      accessPoints: options.accessPoints ?? this.accessPoints(),
      name: options.name ?? 'person',
      forwards: options.forwards ?? [],
      ...(options.more === undefined ? {} : { more: options.more }),
    });
  }

  /** Moves a service, the first one by default, and waits for the end or the pause. */
  async move(order: Partial<InputOf<'move.start'>>): Promise<Move> {
    const { move } = await this.client.call('move.start', { service, ...order });
    return this.moved(move.id);
  }

  /** Waits until a move has ended or paused. */
  async moved(id: string): Promise<Move> {
    return (await this.client.call('move.wait', { move: id, limitMs: 60_000 }, { deadlineMs: 65_000 })).move;
  }

  /** Lets a paused move go on and waits again. */
  async proceed(id: string): Promise<Move> {
    await this.client.call('move.continue', { move: id });
    return until(
      'the move goes on',
      async () => {
        const move = await this.moved(id);
        return move.pausedBefore === null && move.state !== 'running' && move.state !== 'committed'
          ? move
          : null;
      },
      60_000,
    );
  }

  /** The journal after a sequence number. */
  async journal(after = 0): Promise<JournalEvent[]> {
    const events: JournalEvent[] = [];
    for (let next: number | null = after; next !== null; ) {
      const page: OutputOf<'journal.read'> = await this.client.call('journal.read', {
        after: next,
        limit: 1000,
      });
      events.push(...page.events);
      next = page.next;
    }
    return events;
  }

  /** The sequence number of the newest journal entry. */
  async journalHead(): Promise<number> {
    return Number((await this.journal()).at(-1)?.id ?? 0);
  }

  /** The overlay nodes of the newest path from an access point, as the nodes themselves tell. */
  async route(accessPoint: string): Promise<string[]> {
    const states = new Map<string, OverlayStatus>();
    for (const node of Object.keys(this.state.nodes)) {
      const agent = await this.hosts.agent(node);
      states.set(node, await agent.call('overlay.status', {}, { deadlineMs: 5_000 }));
    }
    return routeOf(states, accessPoint, service);
  }

  /** Every copy of a service, the first one by default, on any site that has power: what agents say beside what the kernel shows. */
  async copies(of = service): Promise<Copy[]> {
    const group = `/sys/fs/cgroup/freezer/pod-${of.replaceAll('.', '-')}`;
    const script = `[ ! -d ${group} ] || echo "$(cat ${group}/freezer.state) $(wc -l < ${group}/cgroup.procs)"`;
    const sites = Object.values(this.manifest.hosts).filter((host) => host.role === 'site');
    const found = await Promise.all(
      sites.map(async ({ name }): Promise<Copy[]> => {
        if ((await this.powerOf(name)) === 'off') return [];
        const agent = await this.hosts.agent(name);
        const [status, seen] = await Promise.all([
          agent.call('site.status', {}, { deadlineMs: 5_000 }),
          this.hosts.run(name, script),
        ]);
        const [freezer, count] = seen.stdout.trim().split(/\s+/);
        const pod = status.pods.find((candidate) => candidate.service === of);
        const processes = Number(count ?? 0);
        if (!pod && processes === 0) return [];
        return [
          {
            site: name,
            state: pod?.state ?? 'unlisted',
            epoch: pod?.epoch ?? 0,
            processes,
            thawed: processes > 0 && freezer === 'THAWED',
          },
        ];
      }),
    );
    return found.flat();
  }

  /** Ends everything. @throws Error that lists what is left of it. */
  async down(): Promise<void> {
    await this.hosts.close();
    await this.control.stop();
    await stopLab({ home: this.home });
    const left = await leftAfter(this.home, this.#footprint);
    rmSync(this.home, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`The world left this behind: ${left.join(', ')}`);
  }
}
