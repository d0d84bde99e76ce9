import { createHash } from 'node:crypto';
import type { Random } from '../../runtime/random.ts';
import { seededRandom } from '../../runtime/random.ts';
import type { Identifier } from '../identifier.ts';
import { serviceKey } from '../identifier.ts';
import type { RingViolation } from '../invariant.ts';
import { checkRingInvariant, membersNotSettled, principalsOf } from '../invariant.ts';
import type { Peer } from '../messages.ts';
import { RingNode } from '../ring-node.ts';
import type { RingStatus } from '../ring-node-options.ts';
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
const joinLimitMs = 5000;
const mostMembers = 14;
/**
 * Zave's steps are atomic; here a list may be copied as long after it was sent as calls may last. So her
 * assumptions about failures must hold for the lists of this long ago as well: only a member that nobody
 * has skipped since then counts among the principals that a departure must leave, and every list that may
 * still be under way must keep a living entry.
 */
const steadyMs = 4000;

interface FormerList {
  /** The sender, then its list: what a copier may end up with, in part or whole. */
  entries: Identifier[];
  until: number;
}

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
  readonly #gone: { peer: Peer; at: number }[] = [];
  readonly #known: Peer[] = [];
  readonly #result: ScheduleResult;
  readonly #principalSince = new Map<Identifier, number>();
  readonly #lists = new Map<Identifier, FormerList>();
  #formerLists: FormerList[] = [];
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
    await this.#clock.runUntil(steadyMs, observe);
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
    const peer = { identifier, name, address: `${name}:7400` };
    this.#known.push(peer);
    return peer;
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
    const members = this.#members();
    this.#notePrincipals(members);
    this.#noteLists(members);
    const violations = this.#check(members);
    if (violations.length === 0) return true;
    this.#result.violations = violations;
    this.#onAction(this.#clock.now(), `violation: ${violations[0]?.detail ?? ''} ${describe(members)}`);
    return false;
  }

  #notePrincipals(members: readonly RingStatus[]): void {
    const principals = principalsOf(members);
    for (const identifier of this.#principalSince.keys()) {
      if (!principals.has(identifier)) this.#principalSince.delete(identifier);
    }
    for (const identifier of principals) {
      if (!this.#principalSince.has(identifier)) this.#principalSince.set(identifier, this.#clock.now());
    }
  }

  #noteLists(members: readonly RingStatus[]): void {
    const now = this.#clock.now();
    const present = new Set<Identifier>();
    for (const { identifier, successors } of members) {
      present.add(identifier);
      const entries = [identifier, ...successors.map((peer) => peer.identifier)];
      const known = this.#lists.get(identifier);
      if (known?.entries.join() === entries.join()) continue;
      if (known) this.#formerLists.push({ ...known, until: now });
      this.#lists.set(identifier, { entries, until: Infinity });
    }
    for (const [identifier, list] of this.#lists) {
      if (present.has(identifier)) continue;
      this.#formerLists.push({ ...list, until: now });
      this.#lists.delete(identifier);
    }
    this.#formerLists = this.#formerLists.filter(({ until }) => until + steadyMs > now);
  }

  /** Whether Zave's assumptions still hold when only `rest` remain. */
  #mayLose(rest: readonly RingStatus[]): boolean {
    if (this.#kind === 'hostile') return true;
    const steady = rest.filter(({ identifier }) => {
      return (this.#principalSince.get(identifier) ?? Infinity) + steadyMs <= this.#clock.now();
    });
    const living = new Set(rest.map((state) => state.identifier));
    const underWay = [...this.#formerLists, ...this.#lists.values()];
    const usable = ({ entries }: FormerList) => {
      return entries.slice(0, this.#length).some((identifier) => living.has(identifier));
    };
    return steady.length > this.#length && underWay.every(usable) && this.#check(rest).length === 0;
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
    const peer = this.#someoneGone() ?? this.#newPeer();
    const node = this.#attach(peer);
    for (const other of this.#alive.values()) other.setContacts(this.#known);
    this.#result.joins += 1;
    this.#onAction(this.#clock.now(), `join ${peer.name} ${peer.identifier.slice(0, 6)}`);
    this.#enter(node, peer);
  }

  /**
   * Now and then one that went comes back under its old identifier: at once in a hostile schedule, in a
   * faithful one when no failure found in its former life can still be held against it, so when no list names it:
   * who has several dead entries finds them one after the other.
   */
  #someoneGone(): Peer | undefined {
    const waitMs = this.#kind === 'hostile' ? 0 : steadyMs;
    const named = new Set<Identifier>();
    if (this.#kind === 'faithful')
      for (const { entries } of [...this.#formerLists, ...this.#lists.values()])
        for (const identifier of entries) named.add(identifier);
    const ready = this.#gone.filter(
      ({ at, peer }) => at + waitMs <= this.#clock.now() && !named.has(peer.identifier),
    );
    const chosen = ready[this.#random.below(3 * (ready.length || 1))];
    if (chosen) this.#gone.splice(this.#gone.indexOf(chosen), 1);
    return chosen?.peer;
  }

  /** Joins, trying again while the node is wanted: in a hostile schedule every contact may be dead for long. */
  #enter(node: RingNode, peer: Peer): void {
    node.join(this.#known, joinLimitMs).catch((thrown: Error) => {
      if (this.#alive.get(peer.identifier) !== node) return;
      if (this.#kind === 'hostile') this.#enter(node, peer);
      else this.#result.problems.push(`${peer.name} could not join: ${thrown.message}`);
    });
  }

  #remove(how: 'crash' | 'leave'): void {
    const members = this.#members();
    const victim = members[this.#random.below(members.length || 1)];
    if (!victim || members.length < 2) return;
    const rest = members.filter((state) => state !== victim);
    if (!this.#mayLose(rest)) return;
    const node = this.#alive.get(victim.identifier) as RingNode;
    this.#onAction(this.#clock.now(), `${how} ${victim.name} ${victim.identifier.slice(0, 6)}`);
    this.#alive.delete(victim.identifier);
    this.#network.detach(victim.identifier);
    const { identifier, name, address } = victim;
    this.#gone.push({ peer: { identifier, name, address }, at: this.#clock.now() });
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
    if (late.length > 0) this.#onAction(this.#clock.now(), describe(this.#members()));
    if (late.length > 0)
      this.#result.problems.push(`not settled after ${settleLimitMs} ms: ${late.join(', ')}`);
    if (!allJoined()) this.#result.problems.push('a node never joined');
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

const describe = (members: readonly RingStatus[]): string =>
  members
    .map(({ name, predecessor, successors }) => {
      return `${name}: before ${predecessor?.name}, after ${successors.map((peer) => peer.name).join(' ')}`;
    })
    .join('; ');
