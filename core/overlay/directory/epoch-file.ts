import { rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import type { Clock } from '../../runtime/clock.ts';
import { MoveError } from '../../runtime/errors.ts';
import type { EpochMemory, KnownEpoch } from './record-store.ts';
import { serviceLimit } from './record-store.ts';

export interface EpochFileOptions {
  path: string;
  /** Fingerprint of the authority whose services these are; epochs of another one are forgotten. */
  authority: string;
  clock: Pick<Clock, 'after'>;
  /** Hears that epochs are not being kept: the node goes on with those in its memory. */
  onTrouble: (trouble: MoveError) => void;
}

/** A move must not wait for this node's disk: what is new is written so many milliseconds later, all at once. */
const writeAfterMs = 20;

const schema = `CREATE TABLE IF NOT EXISTS epoch (
    service TEXT PRIMARY KEY, site TEXT NOT NULL, epoch INTEGER NOT NULL, heard INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS epoch_by_hearing ON epoch (heard);
  CREATE TABLE IF NOT EXISTS authority (fingerprint TEXT PRIMARY KEY) STRICT;`;

/**
 * The highest epoch of every service that one overlay node has held, on its disk (SQLite, synchronous=FULL): 10,000 at
 * most, the one not heard of for longest goes first. A damaged file is begun anew, since a node without memory serves
 * better than none.
 */
export class EpochFile implements EpochMemory {
  readonly #options: EpochFileOptions;
  readonly #database: DatabaseSync | null;
  readonly #unwritten = new Map<string, KnownEpoch>();
  #cancel: (() => void) | null = null;

  constructor(options: EpochFileOptions) {
    this.#options = options;
    this.#database = this.#open();
  }

  load(): readonly KnownEpoch[] {
    const rows = this.#database?.prepare('SELECT service, site, epoch FROM epoch ORDER BY heard').all() ?? [];
    return rows.map(({ service, site, epoch }) => ({
      service: String(service),
      site: String(site),
      epoch: Number(epoch),
    }));
  }

  remember(known: KnownEpoch): void {
    if (!this.#database) return;
    this.#unwritten.set(known.service, known);
    this.#cancel ??= this.#options.clock.after(writeAfterMs, () => this.#write());
  }

  /** Writes what is left to write. */
  close(): void {
    this.#cancel?.();
    this.#write();
    this.#database?.close();
  }

  #open(): DatabaseSync | null {
    try {
      try {
        return this.#prepare();
      } catch (cause) {
        if (!isDamage(cause)) throw cause;
        this.#complain('The memory of epochs was damaged and is begun anew.', cause);
        for (const suffix of ['', '-wal', '-shm']) rmSync(`${this.#options.path}${suffix}`, { force: true });
        return this.#prepare();
      }
    } catch (cause) {
      this.#complain('The memory of epochs cannot be kept.', cause);
      return null;
    }
  }

  #prepare(): DatabaseSync {
    const { path, authority } = this.#options;
    const database = new DatabaseSync(path, { timeout: 1_000 });
    try {
      database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; ${schema}`);
      if (!database.prepare('SELECT 1 FROM authority WHERE fingerprint = ?').get(authority)) {
        database.exec('BEGIN IMMEDIATE; DELETE FROM epoch; DELETE FROM authority;');
        database.prepare('INSERT INTO authority VALUES (?)').run(authority);
        database.exec('COMMIT;');
      }
      return database;
    } catch (cause) {
      database.close();
      throw cause;
    }
  }

  #write(): void {
    this.#cancel = null;
    const database = this.#database;
    if (!database || this.#unwritten.size === 0) return;
    try {
      database.exec('BEGIN IMMEDIATE');
      const last = database.prepare('SELECT max(heard) AS heard FROM epoch').get();
      let heard = Number(last?.heard ?? 0);
      const put = database.prepare(
        `INSERT INTO epoch VALUES (?, ?, ?, ?)
         ON CONFLICT (service) DO UPDATE SET site = excluded.site, epoch = excluded.epoch, heard = excluded.heard
         WHERE excluded.epoch > epoch.epoch`,
      );
      for (const { service, site, epoch } of this.#unwritten.values()) {
        heard += 1;
        put.run(service, site, epoch, heard);
      }
      database
        .prepare(
          'DELETE FROM epoch WHERE service IN (SELECT service FROM epoch ORDER BY heard DESC LIMIT -1 OFFSET ?)',
        )
        .run(serviceLimit);
      database.exec('COMMIT');
      this.#unwritten.clear();
    } catch (cause) {
      if (database.isTransaction) database.exec('ROLLBACK');
      // What could not be written is tried again with the next epoch; the map is as bounded as the store.
      for (const service of this.#unwritten.keys()) {
        if (this.#unwritten.size <= serviceLimit) break;
        this.#unwritten.delete(service);
      }
      this.#complain('The memory of epochs could not be written.', cause);
    }
  }

  #complain(message: string, cause: unknown): void {
    const { path, onTrouble } = this.#options;
    onTrouble(new MoveError('EPOCHS_NOT_KEPT', `${message} Check the disk and ${path}.`, { path }, cause));
  }
}

/** SQLITE_CORRUPT and SQLITE_NOTADB. */
const damage = new Set([11, 26]);
const isDamage = (thrown: unknown): boolean =>
  thrown instanceof Error && 'errcode' in thrown && damage.has(Number(thrown.errcode));
