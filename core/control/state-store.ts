import {
  applyChanges,
  type Change,
  type ConsoleState,
  emptyState,
  type StateMessage,
} from '../contract/state.ts';

/**
 * The console's state in memory: one snapshot for whoever begins to listen, then every change, in
 * order, exactly once. It never samples (DESIGN.md, decision 2).
 */
export class StateStore {
  #state: ConsoleState;
  #revision = 0;
  readonly #listeners = new Set<(message: StateMessage) => void>();

  constructor(state: ConsoleState = emptyState()) {
    this.#state = state;
  }

  get state(): ConsoleState {
    return this.#state;
  }

  /** Applies changes and tells all listeners. */
  change(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    this.#state = applyChanges(this.#state, changes);
    this.#revision += 1;
    const message: StateMessage = { kind: 'delta', revision: this.#revision, changes: [...changes] };
    for (const listener of this.#listeners) listener(message);
  }

  /** Sends the snapshot at once and every later delta; the returned function ends it. */
  listen(listener: (message: StateMessage) => void): () => void {
    this.#listeners.add(listener);
    listener({ kind: 'snapshot', revision: this.#revision, state: this.#state });
    return () => this.#listeners.delete(listener);
  }
}
