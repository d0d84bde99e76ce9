import type { Client } from '../../core/contract/channel.ts';
import type { Contract } from '../../core/contract/contract.ts';
import { applyChanges, type ConsoleState, emptyState, type StateMessage } from '../../core/contract/state.ts';
import { attachControl } from '../../core/control/attach.ts';

/** A second pair of eyes beside the window: the same control plane, attached to by its local socket. */
export class ControlView {
  readonly client: Client<Contract>;
  state: ConsoleState = emptyState();
  readonly #waiters = new Set<() => void>();

  private constructor(client: Client<Contract>) {
    this.client = client;
  }

  static async attach(home: string): Promise<ControlView> {
    const client = await attachControl(home, 'terminal');
    if (!client) throw new Error('no control plane answers');
    const view = new ControlView(client);
    const first = new Promise<void>((resolve) => {
      client.listen('state', {}, (sent) => {
        const message = sent as StateMessage;
        view.state =
          message.kind === 'snapshot'
            ? { ...emptyState(), ...message.state }
            : applyChanges(view.state, message.changes);
        resolve();
        for (const wake of [...view.#waiters]) wake();
      });
    });
    await first;
    return view;
  }

  /** Waits until the state says so, and answers what `look` found. */
  until<T>(
    what: string,
    look: (state: ConsoleState) => T | null | undefined | false,
    limitMs = 30_000,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const wake = () => {
        const found = look(this.state);
        if (!found) return;
        clearTimeout(timer);
        this.#waiters.delete(wake);
        resolve(found);
      };
      const timer = setTimeout(() => {
        this.#waiters.delete(wake);
        reject(new Error(`${what}: not within ${limitMs} ms`));
      }, limitMs);
      this.#waiters.add(wake);
      wake();
    });
  }

  close(): void {
    this.client.close();
  }
}
