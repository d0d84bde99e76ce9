import { readFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { connectEntry, HostConnection } from './host-connection.ts';
import type { FleetHost, FleetInventory } from './inventory.ts';

export type HostReach = 'unknown' | 'reaching' | 'up' | 'down';

/**
 * All hosts of an inventory over SSH: one kept connection a host, dialled when first wanted, through
 * whatever hosts lie on the way (a site only through its stepping stone). Connections that end are
 * forgotten and dialled again by the next call.
 */
export class Fleet {
  readonly inventory: FleetInventory;
  readonly #privateKey: Buffer;
  readonly #connections = new Map<string, Promise<HostConnection>>();
  readonly #listeners = new Set<(host: string, reach: HostReach) => void>();
  #closed = false;

  constructor(inventory: FleetInventory) {
    this.inventory = inventory;
    this.#privateKey = readFileSync(inventory.keyPath);
  }

  /** The hosts of a role, in the order of the inventory. */
  hosts(role?: FleetHost['role']): FleetHost[] {
    return Object.values(this.inventory.hosts).filter((host) => !role || host.role === role);
  }

  /** Tells of every change of a host's reachability. Returns a function that stops it. */
  onReach(listener: (host: string, reach: HostReach) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * The connection to a host, dialled if there is none.
   * @throws MoveError `HOST_UNKNOWN`, `HOST_UNREACHABLE`, `HOST_KEY_MISMATCH`.
   */
  connection(name: string, deadlineMs = 10_000): Promise<HostConnection> {
    const existing = this.#connections.get(name);
    if (existing) return existing;
    const dialling = this.#dial(name, deadlineMs);
    this.#connections.set(name, dialling);
    this.#tell(name, 'reaching');
    dialling.then(
      (connection) => {
        this.#tell(name, 'up');
        void connection.closed.then(() => {
          if (this.#connections.get(name) === dialling) this.#connections.delete(name);
          this.#tell(name, 'down');
        });
      },
      () => {
        if (this.#connections.get(name) === dialling) this.#connections.delete(name);
        this.#tell(name, 'down');
      },
    );
    return dialling;
  }

  /** Ends every connection; one that is still being dialled is ended when it is there. */
  close(): void {
    this.#closed = true;
    const open = [...this.#connections.values()];
    this.#connections.clear();
    for (const dialling of open)
      dialling.then(
        (connection) => connection.close(),
        () => undefined,
      );
  }

  async #dial(name: string, deadlineMs: number): Promise<HostConnection> {
    if (this.#closed) throw new MoveError('CANCELLED', 'The fleet is being closed.');
    const host = this.inventory.hosts[name];
    if (!host)
      throw new MoveError(
        'HOST_UNKNOWN',
        `There is no host named ${name}. Known are: ${Object.keys(this.inventory.hosts).join(', ')}.`,
      );
    const transport = await this.#transport(host, deadlineMs);
    return HostConnection.open({
      host: name,
      transport,
      user: this.inventory.user,
      privateKey: this.#privateKey,
      hostKey: this.inventory.hostKeys[name] ?? this.inventory.hostKeys['*'] ?? '',
      deadlineMs,
    });
  }

  async #transport(host: FleetHost, deadlineMs: number): Promise<Duplex> {
    if (host.reach.kind === 'entry') return connectEntry(this.inventory.entry, deadlineMs);
    try {
      const via = await this.connection(host.reach.from, deadlineMs);
      if (host.reach.kind === 'tcp') return await via.forwardTcp(host.reach.address, host.reach.port);
      if (host.reach.kind === 'passage') return await via.passage(host.reach.command);
      return await via.forwardSocket(host.reach.socket);
    } catch (thrown) {
      const error = toMoveError(thrown);
      throw new MoveError(
        'HOST_UNREACHABLE',
        `The host ${host.name} cannot be reached through ${host.reach.from}: ${error.message}`,
        { host: host.name, via: host.reach.from, code: error.code },
        thrown,
      );
    }
  }

  #tell(host: string, reach: HostReach): void {
    for (const listener of this.#listeners) listener(host, reach);
  }
}
