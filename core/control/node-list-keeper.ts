import { join } from 'node:path';
import { type ListedNode, type NodeList, nodeListSchema, nodeListStatement } from '../contract/node-list.ts';
import type { Authority } from '../credentials/authority.ts';
import { nodeListPurpose } from '../overlay/node-list.ts';
import { canonicalJson } from '../runtime/canonical-json.ts';
import type { Clock } from '../runtime/clock.ts';
import { DurableFile } from '../runtime/durable-file.ts';
import { toMoveError } from '../runtime/errors.ts';

/** How long a list may be believed, in milliseconds; a new one is signed when half of it is over. */
const nodeListLifeMs = 7 * 24 * 3_600_000;
const tryAgainMs = 60_000;

/** What a list shall say. */
interface Offered {
  nodes: readonly ListedNode[];
  revoked: readonly string[];
}

export interface NodeListKeeperOptions {
  authority: Pick<Authority, 'signStatement'>;
  directory: string;
  clock: Clock;
  log: (line: string) => void;
  /** Hands a list that is new to everybody who is there; who comes later gets it with his configuration. */
  hand: (list: NodeList) => void;
}

/**
 * Keeps the signed list of overlay nodes: signs a new one, with the next version, when the set changes and well
 * before the last one expires. Versions rise across restarts of the control plane.
 */
export class NodeListKeeper {
  readonly #options: NodeListKeeperOptions;
  readonly #file: DurableFile<NodeList | null>;
  #restored: Promise<void> | undefined;
  #known: NodeList | null = null;
  #current: NodeList | null = null;
  #working: Promise<void> = Promise.resolve();
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(options: NodeListKeeperOptions) {
    this.#options = options;
    this.#file = new DurableFile(join(options.directory, 'node-list.json'), nodeListSchema.nullable());
  }

  /** The list that holds now; null before there was one. */
  get current(): NodeList | null {
    return this.#current;
  }

  /** Sees to it that a list of exactly these nodes, and these revoked serials, holds, whatever their order. */
  offer(nodes: readonly ListedNode[], revoked: readonly string[] = []): Promise<void> {
    const sorted = [...nodes].sort((one, other) => (one.name < other.name ? -1 : 1));
    const offered = { nodes: sorted, revoked: [...revoked].sort() };
    const next = this.#working.then(() => this.#keep(offered));
    this.#working = next.catch((thrown) => {
      if (this.#stopped) return;
      this.#options.log(`the list of overlay nodes could not be signed: ${toMoveError(thrown).message}`);
      this.#again(tryAgainMs, offered);
    });
    return next;
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  async #keep(offered: Offered): Promise<void> {
    const { nodes, revoked } = offered;
    if (nodes.length === 0 || this.#stopped) return;
    const { authority, clock, hand } = this.#options;
    this.#restored ??= this.#file.read(null).then((list) => {
      this.#known = list;
    });
    await this.#restored;
    const known = this.#known;
    const now = Math.floor(clock.now());
    const halfLeft = (list: NodeList) => list.expiresAt - now - nodeListLifeMs / 2;
    let list = known;
    const holds = (held: NodeList) =>
      canonicalJson([held.nodes, held.revoked ?? []]) === canonicalJson([nodes, revoked]);
    if (list === null || !holds(list) || halfLeft(list) <= 0) {
      const statement = nodeListStatement({
        version: (known?.version ?? 0) + 1,
        issuedAt: now,
        expiresAt: now + nodeListLifeMs,
        nodes: [...nodes],
        revoked: [...revoked],
      });
      list = { ...statement, signature: await authority.signStatement(nodeListPurpose, statement) };
      await this.#file.write(list);
    }
    const isNew = this.#current?.version !== list.version;
    this.#known = list;
    this.#current = list;
    if (isNew) hand(list);
    this.#again(Math.max(tryAgainMs, halfLeft(list)), offered);
  }

  #again(delayMs: number, { nodes, revoked }: Offered): void {
    if (this.#stopped) return;
    this.#cancel?.();
    this.#cancel = this.#options.clock.after(
      delayMs,
      () => void this.offer(nodes, revoked).catch(() => undefined),
    );
  }
}
