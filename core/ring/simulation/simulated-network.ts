import type { Clock } from '../../runtime/clock.ts';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import type { Random } from '../../runtime/random.ts';
import type { Identifier } from '../identifier.ts';
import type { Peer, RingCaller, RingTransport } from '../messages.ts';

export type Handler = (method: string, params: unknown, from: RingCaller) => Promise<unknown>;

/** How badly the network behaves. Chances are in thousandths per message. */
export interface NetworkConditions {
  shortestDelayMs: number;
  longestDelayMs: number;
  lossPerMille: number;
  /** True: a lost message is sent again 200 ms later, as TCP would, at most twice. False: it is gone. */
  retransmits: boolean;
  /** A duplicated request is handled twice. */
  duplicationPerMille: number;
}

const retransmissionMs = 200;
const longestRetransmissions = 2;

/**
 * A network of handlers on a simulated clock: delays, losses, duplicates, partitions, crashes, all from
 * the given randomness.
 */
export class SimulatedNetwork {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #handlers = new Map<Identifier, Handler>();
  /** Side of the partition on which each node stands; nodes not named stand on side 0. */
  readonly #sides = new Map<Identifier, number>();
  conditions: NetworkConditions;
  calls = 0;

  constructor(clock: Clock, random: Random, conditions: NetworkConditions) {
    this.#clock = clock;
    this.#random = random;
    this.conditions = conditions;
  }

  attach(identifier: Identifier, handler: Handler): void {
    this.#handlers.set(identifier, handler);
  }

  /** From now on nobody answers at `identifier`. */
  detach(identifier: Identifier): void {
    this.#handlers.delete(identifier);
  }

  /** Cuts the network in two: the named nodes on one side, all others on the other. */
  partition(side: readonly Identifier[]): void {
    this.#sides.clear();
    for (const identifier of side) this.#sides.set(identifier, 1);
  }

  heal(): void {
    this.#sides.clear();
  }

  /** The network as `self` sees it. */
  transportOf(self: Peer): RingTransport {
    return { call: (peer, method, params, deadlineMs) => this.#call(self, peer, method, params, deadlineMs) };
  }

  #call(self: Peer, peer: Peer, method: string, params: unknown, deadlineMs: number): Promise<unknown> {
    this.calls += 1;
    return new Promise((resolve, reject) => {
      const fail = (code: string, message: string) =>
        reject(new MoveError(code, message, { peer: peer.name }));
      const cancel = this.#clock.after(deadlineMs, () =>
        fail('CALL_TIMEOUT', `${peer.name} did not answer.`),
      );
      const answered = (settleCall: () => void) => () => {
        cancel();
        settleCall();
      };
      const from: RingCaller = { role: 'overlay', name: self.name, identifier: self.identifier };
      const deliver = () => {
        const handler = this.#handlers.get(peer.identifier);
        if (!handler) {
          // A dead process refuses at once; a dead host says nothing.
          if (this.#random.below(2) === 0) return;
          this.#carry(
            self,
            peer,
            answered(() => fail('CALL_REFUSED', `${peer.name} refused the connection.`)),
          );
          return;
        }
        handler(method, params, from).then(
          (answer) =>
            this.#carry(
              peer,
              self,
              answered(() => resolve(answer)),
            ),
          (thrown) =>
            this.#carry(
              peer,
              self,
              answered(() => reject(toMoveError(thrown))),
            ),
        );
      };
      this.#carry(self, peer, deliver);
      if (this.#random.below(1000) < this.conditions.duplicationPerMille) this.#carry(self, peer, deliver);
    });
  }

  #carry(from: Peer, to: Peer, arrive: () => void): void {
    const { shortestDelayMs, longestDelayMs, lossPerMille, retransmits } = this.conditions;
    let delay = shortestDelayMs + this.#random.below(longestDelayMs - shortestDelayMs + 1);
    if (this.#random.below(1000) < lossPerMille) {
      if (!retransmits) return;
      delay += retransmissionMs * (1 + this.#random.below(longestRetransmissions));
    }
    this.#clock.after(delay, () => {
      if (this.#side(from) === this.#side(to)) arrive();
    });
  }

  #side(peer: Peer): number {
    return this.#sides.get(peer.identifier) ?? 0;
  }
}
