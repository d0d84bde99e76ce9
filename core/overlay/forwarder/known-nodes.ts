import type { ListedNode, NodeList } from '../../contract/node-list.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { DurableFile } from '../../runtime/durable-file.ts';
import { toMoveError } from '../../runtime/errors.ts';
import { newerNodeList, verifyNodeList } from '../node-list.ts';
import type { ForwarderEvents } from './forwarder-event.ts';

export interface KnownNodesOptions {
  trustPem: readonly string[];
  clock: Clock;
  /** Where the newest list is kept for the next start; without it the list ends with the process. */
  file?: DurableFile<NodeList | null>;
  events: ForwarderEvents;
}

/** The newest signed list of overlay nodes that this client has seen. */
export class KnownNodes {
  readonly #options: KnownNodesOptions;
  #list: NodeList | undefined;
  #keeping: Promise<void> = Promise.resolve();

  constructor(options: KnownNodesOptions) {
    this.#options = options;
  }

  /** Takes up what was kept; a file that cannot be believed is as good as none. */
  async restore(): Promise<void> {
    try {
      const kept = await this.#options.file?.read(null);
      if (kept) this.#list = verifyNodeList(kept, this.#trust());
    } catch (thrown) {
      const { code, message } = toMoveError(thrown);
      this.#options.events({ type: 'list-refused', code, message });
    }
  }

  /**
   * Takes a list from the wire; false when it is not newer than the one known.
   * @throws MoveError `NODE_LIST_INVALID`, `NODE_LIST_EXPIRED`.
   */
  async take(candidate: unknown): Promise<boolean> {
    const list = verifyNodeList(candidate, this.#trust());
    if (newerNodeList(this.#list, list) !== list) return false;
    this.#list = list;
    // One after the other: an older list that is still being written must not end on top of this one.
    this.#keeping = this.#keeping.then(() => this.#keep(list));
    await this.#keeping;
    return true;
  }

  /** Done when what was taken is kept. */
  kept(): Promise<void> {
    return this.#keeping;
  }

  async #keep(list: NodeList): Promise<void> {
    try {
      await this.#options.file?.write(list);
    } catch (thrown) {
      const { code, message } = toMoveError(thrown);
      this.#options.events({ type: 'list-refused', code, message: `It cannot be kept: ${message}` });
    }
  }

  /** Version of the list that is known; null without one. */
  get version(): number | null {
    return this.#list?.version ?? null;
  }

  /** The nodes of the list, unless its time is over. */
  get nodes(): readonly ListedNode[] {
    return this.#list && this.#list.expiresAt > this.#options.clock.now() ? this.#list.nodes : [];
  }

  /** Whether the authority has said that the holder of this certificate is no overlay node any more. */
  isRevoked(serial: string): boolean {
    return this.#list?.revoked?.includes(serial.toUpperCase()) ?? false;
  }

  #trust(): { trustPem: readonly string[]; now: number } {
    return { trustPem: this.#options.trustPem, now: this.#options.clock.now() };
  }
}
