import { MoveError } from '../runtime/errors.ts';
import type { Identifier } from './identifier.ts';
import type { LookupSource } from './lookup.ts';
import type { Neighbourhood, Peer, PingAnswer, RingTransport, StepAnswer } from './messages.ts';
import { parseNeighbourhood, parsePingAnswer, parseStepAnswer } from './messages.ts';
import type { RoutingState } from './routing-state.ts';

export interface CallTimes {
  /** How long a member may take before it counts as failed. Milliseconds. */
  callDeadlineMs: number;
  /** How long a lookup waits for a member before it tries another one first. Milliseconds. */
  quickDeadlineMs: number;
  /** How often a call is tried before its failure counts. */
  attempts: number;
}

/** The questions one node asks another, typed, with their deadlines. */
export class RingCalls {
  readonly #state: RoutingState;
  readonly #transport: RingTransport;
  readonly #times: CallTimes;

  constructor(state: RoutingState, transport: RingTransport, times: CallTimes) {
    this.#state = state;
    this.#transport = transport;
    this.#times = times;
  }

  async ping(peer: Peer): Promise<PingAnswer> {
    return parsePingAnswer(await this.#call(peer, 'ring.ping', {}, this.#times.quickDeadlineMs));
  }

  async pull(peer: Peer): Promise<Neighbourhood> {
    return parseNeighbourhood(await this.#call(peer, 'ring.state', {}, this.#times.callDeadlineMs));
  }

  /** As `pull`, tried as often as the options say; null when `peer` is to be taken for failed. */
  async pullOrFail(peer: Peer): Promise<Neighbourhood | null> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.pull(peer);
      } catch {
        // Failure detection: what a failed call means is the caller's to say.
        if (attempt >= this.#times.attempts) return null;
      }
    }
  }

  async step(peer: Peer, key: Identifier, deadlineMs: number): Promise<StepAnswer> {
    return parseStepAnswer(await this.#call(peer, 'ring.step', { key }, deadlineMs));
  }

  /** Tells `peer` that this node may be its predecessor. True when it heard. */
  async notify(peer: Peer): Promise<boolean> {
    try {
      await this.#call(peer, 'ring.notify', { peer: this.#state.self }, this.#times.callDeadlineMs);
      return true;
    } catch {
      // The next round tells it again, or finds it dead.
      return false;
    }
  }

  /** Tells a neighbour that this node goes. True when it heard; else it will find out by itself. */
  async sayLeaving(peer: Peer, neighbourhood: Neighbourhood): Promise<boolean> {
    try {
      const params = { peer: this.#state.self, ...neighbourhood };
      await this.#call(peer, 'ring.leaving', params, this.#times.callDeadlineMs);
      return true;
    } catch {
      // A neighbour that cannot be told treats the departure as a failure, which the protocol survives.
      return false;
    }
  }

  /** How a lookup from this node asks; `asMember` starts from its own knowledge. */
  lookupSource(
    asMember: boolean,
    contacts: readonly Peer[],
    ignore: readonly Identifier[],
    key: Identifier,
  ): LookupSource {
    const { self } = this.#state;
    return {
      start: asMember ? { peer: self, answer: stepAnswer(this.#state, key) } : null,
      contacts,
      ignore,
      step: async (peer, wanted, patient) => {
        const deadline = patient ? this.#times.callDeadlineMs : this.#times.quickDeadlineMs;
        try {
          return await this.step(peer, wanted, deadline);
        } catch (cause) {
          this.#state.dropFinger(peer.identifier);
          throw cause;
        }
      },
      state: async (peer) => {
        if (peer.identifier === self.identifier) return this.#state.neighbourhood();
        const answer = await this.pullOrFail(peer);
        if (answer) return answer;
        throw new MoveError('RING_PEER_FAILED', `The overlay node ${peer.name} does not answer.`, {
          peer: peer.name,
        });
      },
    };
  }

  #call(peer: Peer, method: string, params: unknown, deadlineMs: number): Promise<unknown> {
    return this.#transport.call(peer, method, params, deadlineMs);
  }
}

/** How many members one answer offers besides the successor list. */
const offered = 3;

/** What a member tells a lookup for `key`. One that is alone is its own successor. */
export function stepAnswer(state: RoutingState, key: Identifier): StepAnswer {
  const successors = state.successors.length > 0 ? [...state.successors] : [state.self];
  return { successors, closer: state.closestPreceding(key, offered) };
}
