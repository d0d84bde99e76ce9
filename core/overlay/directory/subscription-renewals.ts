import type { Peer } from '../../ring/messages.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { DirectoryRing } from './directory-types.ts';

export interface Subscription {
  service: string;
  watcher: Peer;
}

export interface SubscriptionRenewalsOptions {
  ring: DirectoryRing;
  clock: Clock;
  replicas: number;
  subscriptions: () => Subscription[];
  /** Tells a watcher to subscribe anew. */
  ask: (watcher: Peer, service: string) => Promise<unknown>;
}

/** Changes that follow one another within so many milliseconds are told as one. */
const delayMs = 50;
/** Watchers told at once. */
const batch = 16;

/**
 * Subscriptions are at every holder of a record. When one of them goes, or another comes, those that stay notice by
 * their neighbours and ask the watchers to subscribe anew, at the holders of now. Watchers speak for themselves this
 * way: no node can subscribe another, as it could if subscriptions were handed over.
 */
export class SubscriptionRenewals {
  readonly #options: SubscriptionRenewalsOptions;
  readonly #stopListening: () => void;
  #neighbours: string;
  #cancel: (() => void) | null = null;
  #running = false;
  #closed = false;

  constructor(options: SubscriptionRenewalsOptions) {
    this.#options = options;
    this.#neighbours = this.#readNeighbours();
    this.#stopListening = options.ring.onChange(() => this.#soon());
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#stopListening();
    this.#closed = true;
  }

  #soon(): void {
    if (this.#cancel || this.#running || this.#closed) return;
    this.#cancel = this.#options.clock.after(delayMs, () => {
      this.#cancel = null;
      const neighbours = this.#readNeighbours();
      if (neighbours === this.#neighbours) return;
      this.#neighbours = neighbours;
      this.#running = true;
      void this.#tell().finally(() => {
        this.#running = false;
        if (this.#readNeighbours() !== this.#neighbours) this.#soon();
      });
    });
  }

  /** Those among whom a change means that some service here has other holders than before. */
  #readNeighbours(): string {
    const { ring, replicas } = this.#options;
    const { predecessor, successors } = ring.status();
    return [predecessor, ...successors.slice(0, replicas)].map((peer) => peer?.identifier ?? '').join();
  }

  async #tell(): Promise<void> {
    const { ring, subscriptions, ask } = this.#options;
    const all = subscriptions();
    for (let start = 0; start < all.length && ring.status().member && !this.#closed; start += batch) {
      // One that does not hear renews by itself within 10 s.
      await Promise.allSettled(
        all.slice(start, start + batch).map(({ service, watcher }) => ask(watcher, service)),
      );
    }
  }
}
