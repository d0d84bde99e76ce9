import { isUnderWay, type Move, type MovePhaseName, type Site } from '../contract/domain.ts';
import { takeTurns } from '../moves/move-queue.ts';
import { chooseTarget, type TargetQuestion, whyNot } from '../moves/target-choice.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import type { ControlContext } from './control-context.ts';
import { ownSites } from './holdings.ts';
import { spareSiteOf } from './spares.ts';

/** A move that was asked for and has not begun. */
export interface QueuedOrder {
  move: Move;
  /** Whether that very target was asked for; else another one is drawn when it says no. */
  wished: boolean;
  pauseAt: MovePhaseName | null;
}

interface TurnsParts {
  context: Pick<
    ControlContext,
    'agent' | 'clock' | 'log' | 'manifest' | 'random' | 'recorder' | 'services' | 'store'
  >;
  /** The move begins now, to this target. */
  begin(order: QueuedOrder, target: Site): void;
  /** The move does not take place. */
  drop(order: QueuedOrder, error: MoveError): void;
}

/** A candidate that does not say at once whether it takes the service is passed over: people wait. */
const askDeadlineMs = 1_500;
const latelyMs = 15 * 60_000;

/**
 * Moves that wait for their turn. Two that share a source, a target or a stone go one after the other, others at
 * once; before one begins, its target is asked whether it takes the service now, and another is drawn when it says no.
 */
export class MoveTurns {
  readonly #parts: TurnsParts;
  readonly #queue = new Map<string, QueuedOrder>();
  /** Those of the queue whose turn it is and whose target is being asked, by id: the target. */
  readonly #asking = new Map<string, string>();
  #stopped = false;

  constructor(parts: TurnsParts) {
    this.#parts = parts;
  }

  /** Whether a move of this service waits already. */
  has(service: string): boolean {
    return [...this.#queue.values()].some(({ move }) => move.service === service);
  }

  add(order: QueuedOrder): void {
    this.#queue.set(order.move.id, order);
    this.look();
  }

  /** Takes a move out of the queue; false when it is not there. */
  cancel(id: string): boolean {
    const order = this.#queue.get(id);
    if (!order) return false;
    this.#drop(order, new MoveError('MOVE_CANCELLED', 'The move was taken back before it began.'));
    return true;
  }

  cancelAll(): number {
    const waiting = [...this.#queue.keys()];
    return waiting.filter((id) => this.cancel(id)).length;
  }

  stop(): void {
    this.#stopped = true;
    this.#queue.clear();
  }

  /** Lets begin whatever can: after a move was asked for, and whenever one has ended. */
  look(): void {
    if (this.#stopped) return;
    const { clock, store } = this.#parts.context;
    const moves = Object.values(store.state.moves);
    const running = moves.filter(isUnderWay);
    const asking = [...this.#asking.keys()].flatMap((id) => this.#queue.get(id)?.move ?? []);
    const now = clock.now();
    const turns = takeTurns(
      [...this.#queue.values()]
        .filter(({ move }) => !this.#asking.has(move.id))
        .map((order) => ({
          id: order.move.id,
          queuedAt: order.move.queuedAt ?? now,
          urgent: order.move.attack !== null,
          movesBefore: moves.filter(
            (past) =>
              past.service === order.move.service && past.endedAt !== null && now - past.endedAt < latelyMs,
          ).length,
          needs: this.#needsOf(order.move, order.wished),
        })),
      [...running, ...asking].map((move) => ({ id: move.id, needs: this.#needsOf(move, true) })),
      now,
    );
    for (const turn of turns) {
      const order = this.#queue.get(turn.id);
      if (!order) continue;
      if (turn.starts) void this.#askAndBegin(order);
      else this.#showWaiting(order, turn.waitsFor);
    }
  }

  async #askAndBegin(order: QueuedOrder): Promise<void> {
    this.#asking.set(order.move.id, order.move.to);
    try {
      const target = await this.#askTarget(order);
      if (this.#queue.get(order.move.id) !== order) return;
      this.#mustStillBeWanted(order.move);
      this.#queue.delete(order.move.id);
      this.#parts.begin(order, target);
    } catch (thrown) {
      const error = toMoveError(thrown);
      if (this.#queue.get(order.move.id) !== order) return;
      // Sites that other moves use are free again when those have ended.
      const others = this.#others(order.move).map(({ id }) => id);
      if (error.code === 'NO_TARGET' && others.length > 0) {
        this.#showWaiting(order, others);
        return;
      }
      this.#drop(order, error);
    } finally {
      this.#asking.delete(order.move.id);
    }
    this.look();
  }

  /** The first target that takes the service. @throws MoveError `NO_TARGET`, `TARGET_UNUSABLE`. */
  async #askTarget(order: QueuedOrder): Promise<Site> {
    const { random, store, recorder } = this.#parts.context;
    const { service } = order.move;
    const refused: Record<string, string> = {};
    for (;;) {
      const question = this.question(order.move, refused);
      const first = store.state.sites[order.move.to];
      const isFree = first !== undefined && (order.wished || whyNot(first, question) === null);
      const site = isFree && !refused[first.id] ? first : chooseTarget(question, random).site;
      this.#asking.set(order.move.id, site.id);
      const why = await this.#whyRefused(site.id, order.move);
      if (why === null) return site;
      if (this.#queue.get(order.move.id) !== order) return site;
      if (order.wished)
        throw new MoveError(
          'TARGET_UNUSABLE',
          `${site.id} does not take ${service} now: ${why}. Choose another site.`,
          { site: site.id },
        );
      refused[site.id] = why;
      recorder.record({
        kind: 'observation',
        type: 'move.target-refused',
        tone: 'plain',
        text: `${site.id} was asked and does not take ${service} now: ${why}. Another site is drawn.`,
        subject: service,
      });
    }
  }

  /** What the draw of a target has to know; `refused` are sites that said no just now. */
  question(
    move: Pick<Move, 'id' | 'service' | 'from'>,
    refused: Readonly<Record<string, string>> = {},
  ): TargetQuestion {
    const { store, clock } = this.#parts.context;
    const others = this.#others(move);
    const busy = Object.fromEntries(
      others.flatMap(({ from, to }) => [
        [from, 'another service is leaving it'],
        [to, 'another service is on its way to it'],
      ]),
    );
    const now = clock.now();
    const lately = Object.values(store.state.attacks).filter(
      ({ overAt, state }) => state === 'active' || (overAt !== null && now - overAt < latelyMs),
    );
    return {
      sites: ownSites(store.state),
      services: Object.values(store.state.services),
      service: move.service,
      from: move.from,
      passedOver: { ...busy, ...refused },
      lately: new Set(lately.map(({ site }) => site)),
      spare: spareSiteOf(store.state, move.service),
    };
  }

  /** Asks a site whether it takes the service at this moment: null when it does, else why not. */
  async #whyRefused(site: string, { service }: Move): Promise<string | null> {
    try {
      const { agent, store } = this.#parts.context;
      const offer = store.state.sites[site]?.offers;
      const capacity = store.state.services[service]?.capacity;
      const asked = await agent(site);
      const { why } = await asked.call(
        'site.takes',
        {
          service,
          ...(offer ? { podsMost: offer.pods } : {}),
          ...(capacity ? { memoryMb: capacity.memoryMb } : {}),
        },
        { deadlineMs: askDeadlineMs },
      );
      return why;
    } catch (thrown) {
      return `it could not be asked (${toMoveError(thrown).code})`;
    }
  }

  #mustStillBeWanted(move: Move): void {
    const { store } = this.#parts.context;
    if (store.state.console.console?.halted)
      throw new MoveError('HALTED', 'The emergency stop is in force. Release it first.');
    const service = store.state.services[move.service];
    if (service?.state !== 'running' || service.site !== move.from)
      throw new MoveError(
        'SERVICE_BUSY',
        `${move.service} is ${service?.state ?? 'gone'} now and does not move.`,
      );
    if (move.attack !== null && store.state.attacks[move.attack]?.state === 'over')
      throw new MoveError('ATTACK_OVER', 'The attack ended while the move waited for its turn.');
  }

  #drop(order: QueuedOrder, error: MoveError): void {
    this.#queue.delete(order.move.id);
    this.#parts.drop(order, error);
  }

  #showWaiting(order: QueuedOrder, waitsFor: readonly string[]): void {
    const { store } = this.#parts.context;
    const before = store.state.moves[order.move.id]?.waitsFor ?? [];
    if (before.join() === waitsFor.join()) return;
    store.change([
      { op: 'patch', collection: 'moves', id: order.move.id, value: { waitsFor: [...waitsFor] } },
    ]);
  }

  /** Sites and stones that a move needs to itself. */
  #needsOf(move: Move, withTarget: boolean): string[] {
    const { manifest, services } = this.#parts.context;
    const description = services.get(move.service);
    const stoneOf = (site: string) => manifest.hosts[site]?.viaStone;
    const target = this.#asking.get(move.id) ?? move.to;
    const home =
      description?.storage && description.homeSite !== target ? stoneOf(description.homeSite) : undefined;
    const needs = [move.from, stoneOf(move.from), home, withTarget ? target : undefined];
    return [...new Set(needs.filter((need) => need !== undefined && need !== ''))] as string[];
  }

  #others(move: Pick<Move, 'id'>): Pick<Move, 'id' | 'from' | 'to'>[] {
    const { store } = this.#parts.context;
    const running = Object.values(store.state.moves).filter(
      (other) => isUnderWay(other) && other.id !== move.id,
    );
    const asking = [...this.#asking].flatMap(([id, to]) => {
      const other = this.#queue.get(id)?.move;
      return other && id !== move.id ? [{ id, from: other.from, to }] : [];
    });
    return [...running, ...asking];
  }
}
