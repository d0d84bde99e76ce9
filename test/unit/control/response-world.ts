import type { ServiceDescription } from '../../../core/contract/agent-contract.ts';
import type { ConsoleInfo, Move, Proposal, Service, Site } from '../../../core/contract/domain.ts';
import { AttackResponse } from '../../../core/control/attack-response.ts';
import { Moves } from '../../../core/control/moves-control.ts';
import { Proposals } from '../../../core/control/proposals-control.ts';
import type { JournalEntry } from '../../../core/control/recorder.ts';
import { StateStore } from '../../../core/control/state-store.ts';
import { WayHome } from '../../../core/control/way-home.ts';
import { seededRandom } from '../../../core/runtime/random.ts';
import { HandClock } from '../../support/hand-clock.ts';

type Context = ConstructorParameters<typeof Moves>[0];
type Keys = ConstructorParameters<typeof Moves>[1];

/** The parts of the control plane that answer attacks, over sites in memory that take and release pods at once. */
export class ResponseWorld {
  readonly clock = new HandClock(1_800_000_000_000);
  readonly store = new StateStore();
  readonly entries: JournalEntry[] = [];
  /** Why a site that is asked does not take anybody, by site. */
  readonly refusals: Record<string, string> = {};
  readonly asked: string[] = [];
  /** While it is set, moves stand still in their freeze until it resolves. */
  gate: Promise<void> | null = null;
  readonly moves: Moves;
  readonly proposals: Proposals;
  readonly response: AttackResponse;
  readonly wayHome: WayHome;

  constructor(services: readonly { id: string; site: string }[]) {
    const hosts: Record<string, object> = {};
    for (const id of ['a1', 'a2', 'b1', 'b2', 'c1', 'c2']) {
      const isp = id.charAt(0);
      const site = {
        id,
        isp,
        reach: 'up',
        attacked: false,
        pods: [],
        secondaryCapacityMbit: 50,
        primaryCapacityMbit: 20,
      };
      this.store.change([{ op: 'upsert', collection: 'sites', id, value: site as unknown as Site }]);
      hosts[id] = {
        name: id,
        role: 'site',
        isp,
        viaStone: `stone-${isp}`,
        addresses: { primary: '198.18.1.1' },
      };
    }
    const descriptions = new Map<string, ServiceDescription>();
    for (const { id, site } of services) {
      const service = {
        id,
        site,
        homeSite: site,
        epoch: 1,
        state: 'running',
        policy: 'automatic',
        staysBehind: [],
        sessions: 0,
      };
      this.store.change([{ op: 'upsert', collection: 'services', id, value: service as unknown as Service }]);
      descriptions.set(id, { hostname: id, homeSite: site, storage: null } as unknown as ServiceDescription);
    }
    const { store, clock, entries } = this;
    const context = {
      holdings: { siteHolder: () => null, serviceHolder: () => null },
      store,
      clock,
      random: seededRandom(5),
      log: () => undefined,
      services: descriptions,
      manifest: { hosts },
      recorder: {
        record: (entry: JournalEntry) => {
          entries.push(entry);
          store.change(entry.changes ?? []);
        },
      },
      agent: async (site: string) => ({ call: (method: string) => this.#answer(site, method) }),
    } as unknown as Context;
    const keys = { delegate: async () => ({}) } as unknown as Keys;
    this.moves = new Moves(context, keys, () => []);
    this.proposals = new Proposals(context, this.moves);
    this.response = new AttackResponse(context, this.proposals);
    this.moves.onTakenBack = (move) => this.response.takenBack(move);
    this.wayHome = new WayHome(context, this.proposals);
    this.wayHome.start();
  }

  async #answer(site: string, method: string): Promise<unknown> {
    if (method === 'site.takes') {
      this.asked.push(site);
      return { why: this.refusals[site] ?? null };
    }
    if (method === 'source.run') {
      await this.gate;
      return { phases: [], stateBytes: 1, wireBytes: 1, aheadBytes: 0, sessions: 0 };
    }
    return { phases: [] };
  }

  attack(site: string, state: 'active' | 'over' = 'active'): void {
    const at = this.clock.now();
    this.response.report(site, {
      type: 'attack',
      at,
      state,
      kind: 'udp-flood',
      evidence: `${site} is full`,
      inboundMbit: 20,
      firstEvidenceAt: at,
      detectedAt: at,
    });
  }

  service(id: string): Service {
    return this.store.state.services[id]!;
  }

  set(id: string, value: Partial<Service>): void {
    this.store.change([{ op: 'patch', collection: 'services', id, value }]);
  }

  /** What the emergency stop says first. */
  halt(): void {
    const value = { id: 'console', halted: true } as unknown as ConsoleInfo;
    this.store.change([{ op: 'upsert', collection: 'console', id: 'console', value }]);
  }

  allMoves(): Move[] {
    return Object.values(this.store.state.moves).sort((a, b) => a.startedAt - b.startedAt);
  }

  allProposals(): Proposal[] {
    return Object.values(this.store.state.proposals);
  }

  told(type: string): string[] {
    return this.entries.filter((entry) => entry.type === type).map(({ text }) => text);
  }

  /** Lets everything happen that waits for no time. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Lets time pass, a second at a time. */
  async pass(seconds: number): Promise<void> {
    for (let second = 0; second < seconds; second += 1) {
      this.clock.turn(1_000);
      await this.settle();
    }
  }

  stop(): void {
    this.wayHome.stop();
    this.response.stop();
    this.proposals.stop();
    this.moves.stop();
  }
}
