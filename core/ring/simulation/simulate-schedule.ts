import { createHash } from 'node:crypto';
import type { Random } from '../../runtime/random.ts';
import { seededRandom } from '../../runtime/random.ts';
import type { Identifier } from '../identifier.ts';
import { serviceKey } from '../identifier.ts';
import type { RingViolation } from '../invariant.ts';
import { checkRingInvariant, membersNotSettled } from '../invariant.ts';
import type { Peer } from '../messages.ts';
import type { RingStatus } from '../ring-node.ts';
import { RingNode } from '../ring-node.ts';
import { SimulatedClock } from './simulated-clock.ts';
import type { NetworkConditions } from './simulated-network.ts';
import { SimulatedNetwork } from './simulated-network.ts';

/**
 * `faithful`: members come, go and crash, messages are late, repeated and out of order, but failures are
 * told from slowness and Zave's assumption holds (nobody loses all successors at once, enough principals
 * remain). Her invariant must then hold after every single event.
 * `hostile`: messages vanish, the network splits, nothing is spared. The ring must be whole again
 * afterwards.
 */
export type ScheduleKind = 'faithful' | 'hostile';

export interface ScheduleResult {
  seed: number;
  kind: ScheduleKind;
  passed: boolean;
  violations: RingViolation[];
  /** Why it did not pass, when no rule was broken. */
  problems: string[];
  successorListLength: number;
  members: number;
  joins: number;
  leaves: number;
  crashes: number;
  partitions: number;
  calls: number;
  /** Simulated milliseconds of quiet until the ring was ideal. */
  settledMs: number;
}

export interface ScheduleOptions {
  kind?: ScheduleKind;
  /** Simulated milliseconds during which things happen to the ring. 12,000. */
  unrestMs?: number;
  /** What was done to the ring and when, for looking into a failing seed. */
  onAction?: (atMs: number, action: string) => void;
}

const settleLimitMs = 60_000;
const mostMembers = 14;

/**
 * Plays one schedule on a simulated clock and network. The same seed gives the same schedule and result,
 * event for event.
 */
export async function simulateSchedule(seed: number, options: ScheduleOptions = {}): Promise<ScheduleResult> {
  return await new Schedule(seed, options).play();
}

class Schedule {
  readonly #random: Random;
  readonly #clock = new SimulatedClock();
  readonly #network: SimulatedNetwork;
  readonly #kind: ScheduleKind;
  readonly #unrestMs: number;
  readonly #onAction: (atMs: number, action: string) => void;
  readonly #length: number;
  readonly #alive = new Map<Identifier, RingNode>();
  readonly #gone: Peer[] = [];
  readonly #result: ScheduleResult;
  #named = 0;
  #changed = true;

  constructor(seed: number, options: ScheduleOptions) {
    this.#random = seededRandom(seed);
    this.#kind = options.kind ?? (this.#random.below(3) === 0 ? 'hostile' : 'faithful');
    this.#unrestMs = options.unrestMs ?? 12_000;
    this.#onAction = options.onAction ?? (() => undefined);
    this.#length = 2 + this.#random.below(3);
    this.#network = new SimulatedNetwork(this.#clock, this.#random, this.#conditions());
    this.#result = {
      seed,
      kind: this.#kind,
      passed: false,
      violations: [],
      problems: [],
      successorListLength: this.#length,
      members: 0,
      joins: 0,
      leaves: 0,
      crashes: 0,
      partitions: 0,
      calls: 0,
      settledMs: 0,
    };
  }

  async play(): Promise<ScheduleResult> {
    const result = this.#result;
    this.#start();
    const observe = () => this.#observe();
    await this.#clock.runUntil(2000, observe);
    const unrestEnd = this.#clock.now() + this.#unrestMs;
    while (this.#clock.now() < unrestEnd && result.violations.length === 0) {
      this.#act();
      await this.#clock.runUntil(this.#clock.now() + 1 + this.#random.below(700), observe);
    }
    if (result.violations.length === 0) await this.#calmDown(observe);
    result.members = this.#members().length;
    result.calls = this.#network.calls;
    result.passed = result.violations.length === 0 && result.problems.length === 0;
    for (const node of this.#alive.values()) node.stop();
    return result;
  }

  #conditions(): NetworkConditions {
    const hostile = this.#kind === 'hostile';
    return {
      shortestDelayMs: 1,
      longestDelayMs: 2 + this.#random.below(90),
      lossPerMille: this.#random.below(hostile ? 60 : 30),
      retransmits: !hostile,
      duplicationPerMille: this.#random.below(30),
    };
  }

  #start(): void {
    const first = Array.from({ length: this.#length + 1 + this.#random.below(4) }, () => this.#newPeer());
    for (const peer of first) this.#attach(peer).create(first);
  }

  #newPeer(): Peer {
    this.#named += 1;
    const name = `node-${this.#named}`;
    const identifier = createHash('sha256').update(this.#random.bytes(16)).digest('hex').slice(0, 40);
    return { identifier, name, address: `${name}:7400` };
  }

  #attach(peer: Peer): RingNode {
    const node = new RingNode({
      self: peer,
      transport: this.#network.transportOf(peer),
      clock: this.#clock,
      random: this.#random,
      successorListLength: this.#length,
      callDeadlineMs: 1000,
    });
    node.onChange(() => {
      this.#changed = true;
    });
    this.#alive.set(peer.identifier, node);
    this.#network.attach(peer.identifier, (method, params, from) => node.handle(method, params, from));
    return node;
  }

  #members(): RingStatus[] {
    return [...this.#alive.values()].map((node) => node.status()).filter((status) => status.member);
  }

  #check(states: readonly RingStatus[]): RingViolation[] {
    return checkRingInvariant(states, { successorListLength: this.#length }).violations;
  }

  #observe(): boolean {
    if (this.#kind === 'hostile' || !this.#changed) return true;
    this.#changed = false;
    const violations = this.#check(this.#members());
    if (violations.length === 0) return true;
    this.#result.violations = violations;
    this.#onAction(this.#clock.now(), `violation: ${violations[0]?.detail ?? ''}`);
    return false;
  }

  #act(): void {
    const die = this.#random.below(100);
    if (die < 35) this.#join();
    else if (die < 65) this.#remove('crash');
    else if (die < 80) this.#remove('leave');
    else if (die < 90 && this.#kind === 'hostile') this.#splitOrHeal();
  }

  #join(): void {
    if (this.#alive.size >= mostMembers) return;
    const again = this.#gone.length > 0 && this.#random.below(3) === 0;
    const [peer] = again ? this.#gone.splice(this.#random.below(this.#gone.length), 1) : [this.#newPeer()];
    if (!peer) return;
    const contacts = this.#members().map(({ identifier, name, address }) => ({ identifier, name, address }));
    const node = this.#attach(peer);
    this.#result.joins += 1;
    this.#onAction(this.#clock.now(), `join ${peer.name} ${peer.identifier.slice(0, 6)}`);
    node.join(contacts, 30_000).catch((thrown: Error) => {
      // One that was crashed while joining gives up by design.
      if (this.#alive.get(peer.identifier) === node && this.#kind === 'faithful') {
        this.#result.problems.push(`${peer.name} could not join: ${thrown.message}`);
      }
    });
  }

  #remove(how: 'crash' | 'leave'): void {
    const members = this.#members();
    const victim = members[this.#random.below(members.length || 1)];
    if (!victim || members.length < 2) return;
    const rest = members.filter((state) => state !== victim);
    if (this.#kind === 'faithful' && this.#check(rest).length > 0) return;
    const node = this.#alive.get(victim.identifier) as RingNode;
    this.#onAction(this.#clock.now(), `${how} ${victim.name} ${victim.identifier.slice(0, 6)}`);
    this.#alive.delete(victim.identifier);
    this.#network.detach(victim.identifier);
    this.#gone.push({ identifier: victim.identifier, name: victim.name, address: victim.address });
    this.#changed = true;
    if (how === 'crash') {
      this.#result.crashes += 1;
      node.stop();
    } else {
      this.#result.leaves += 1;
      void node.leave();
    }
  }

  #splitOrHeal(): void {
    const members = this.#members();
    if (this.#random.below(2) === 0) {
      this.#network.heal();
      this.#onAction(this.#clock.now(), 'heal');
      return;
    }
    this.#result.partitions += 1;
    const side = members.filter(() => this.#random.below(2) === 0);
    this.#onAction(this.#clock.now(), `partition ${side.map((state) => state.name).join(' ')}`);
    this.#network.partition(side.map((state) => state.identifier));
  }

  /** The network behaves and nothing more happens: the ring must become ideal and every lookup right. */
  async #calmDown(observe: () => boolean): Promise<void> {
    this.#network.heal();
    this.#network.conditions = { ...this.#network.conditions, lossPerMille: 0 };
    this.#onAction(this.#clock.now(), 'calm');
    const begun = this.#clock.now();
    const unsettled = () => membersNotSettled(this.#members(), this.#length);
    const allJoined = () => this.#members().length === this.#alive.size;
    while (this.#clock.now() < begun + settleLimitMs && (unsettled().length > 0 || !allJoined())) {
      await this.#clock.runUntil(this.#clock.now() + 250, observe);
      if (this.#result.violations.length > 0) return;
    }
    this.#result.settledMs = this.#clock.now() - begun;
    const late = unsettled();
    if (late.length > 0)
      this.#result.problems.push(`not settled after ${settleLimitMs} ms: ${late.join(', ')}`);
    if (!allJoined() && this.#kind === 'faithful') this.#result.problems.push('a node never joined');
    if (late.length === 0) {
      this.#result.violations.push(...this.#endViolations());
      await this.#checkLookups();
    }
  }

  #endViolations(): RingViolation[] {
    const tooSmall = this.#members().length <= this.#length;
    return this.#check(this.#members()).filter(({ rule }) => !(tooSmall && rule === 'sufficient-principals'));
  }

  async #checkLookups(): Promise<void> {
    const ring = this.#members().sort((a, b) => (a.identifier < b.identifier ? -1 : 1));
    for (const node of this.#alive.values()) {
      if (!node.status().member) continue;
      const key = serviceKey(`service-${this.#random.below(1 << 30)}.example`);
      const right = ring.find((state) => state.identifier >= key) ?? ring[0];
      let found: string | undefined;
      node.lookup(key).then(
        ({ owner }) => {
          found = owner.name;
        },
        (thrown: Error) => {
          found = thrown.message;
        },
      );
      const limit = this.#clock.now() + 5000;
      await this.#clock.runUntil(limit, () => found === undefined);
      if (found !== right?.name)
        this.#result.problems.push(`lookup of ${key} found ${found}, not ${right?.name}`);
    }
  }
}
