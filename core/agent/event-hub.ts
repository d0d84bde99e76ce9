import type { AgentEvent } from '../contract/agent-contract.ts';

/**
 * Passes what an agent sees to whoever listens. What is still going on (an alarm, the state of a
 * lifeline) is kept and told first to a listener that comes later: a restarted controller misses
 * nothing that lasts.
 */
export class EventHub {
  readonly #listeners = new Set<(event: AgentEvent) => void>();
  readonly #lasting = new Map<string, AgentEvent>();

  /** Whether a control plane listens. */
  get isHeard(): boolean {
    return this.#listeners.size > 0;
  }

  /** Tells an event that is over once told. */
  tell(event: AgentEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** Tells an event that lasts until `key` is told again or ended. */
  tellLasting(key: string, event: AgentEvent): void {
    this.#lasting.set(key, event);
    this.tell(event);
  }

  /** Tells the end of something that lasted. */
  tellEnd(key: string, event: AgentEvent): void {
    this.#lasting.delete(key);
    this.tell(event);
  }

  /** What lasts now, of one kind. */
  lasting<T extends AgentEvent['type']>(type: T): Extract<AgentEvent, { type: T }>[] {
    const isOf = (event: AgentEvent): event is Extract<AgentEvent, { type: T }> => event.type === type;
    return [...this.#lasting.values()].filter(isOf);
  }

  listen(listener: (event: AgentEvent) => void): () => void {
    for (const event of this.#lasting.values()) listener(event);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
