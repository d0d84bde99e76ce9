import { randomUUID } from 'node:crypto';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { MoveError } from '../runtime/errors.ts';

export const IN_MEMORY = ':memory:';
const SCHEMA_VERSION = 1;
const SQLITE_BUSY = 5;

const SCHEMA = `
  CREATE TABLE journal (only INTEGER PRIMARY KEY CHECK (only = 1), id TEXT NOT NULL) STRICT;
  CREATE TABLE records (
    sequence INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    type TEXT NOT NULL,
    subject TEXT,
    actor TEXT,
    data TEXT NOT NULL,
    hash BLOB NOT NULL
  ) STRICT;
  CREATE INDEX records_by_type ON records (type, sequence);
  CREATE INDEX records_by_time ON records (at);
  CREATE TABLE signed_heads (
    sequence INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    hash BLOB NOT NULL,
    public_key TEXT NOT NULL,
    signature BLOB NOT NULL
  ) STRICT;
  CREATE TABLE snapshots (
    name TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    record_hash BLOB NOT NULL,
    state TEXT NOT NULL,
    state_hash BLOB NOT NULL,
    PRIMARY KEY (name, sequence)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE series (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
  CREATE TABLE telemetry (
    second INTEGER NOT NULL,
    series INTEGER NOT NULL,
    count INTEGER NOT NULL,
    min REAL NOT NULL,
    max REAL NOT NULL,
    sum REAL NOT NULL,
    p50 REAL NOT NULL,
    p95 REAL NOT NULL,
    PRIMARY KEY (second, series)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE metering (
    subject TEXT NOT NULL,
    number INTEGER NOT NULL,
    sequence INTEGER NOT NULL UNIQUE,
    PRIMARY KEY (subject, number)
  ) STRICT, WITHOUT ROWID;
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

export interface OpenedDatabase {
  database: DatabaseSync;
  journalId: string;
  /** Closes the database and gives up the lock. */
  close(): void;
}

/**
 * Opens the journal's file for writing, readable by its owner only. Every commit is on the disk before it is
 * acknowledged (WAL, synchronous=FULL). A second writer, in this process or another, is kept out by a lock
 * that the kernel drops when its holder dies; readers such as {@link openForReading} are not.
 * @throws MoveError `JOURNAL_LOCKED`, `JOURNAL_UNREADABLE`.
 */
export function openForWriting(path: string): OpenedDatabase {
  if (path === IN_MEMORY) return prepare(new DatabaseSync(path), path, () => undefined);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const lock = takeLock(path);
  try {
    createPrivately(path);
    return prepare(new DatabaseSync(path, { timeout: 2_000 }), path, () => lock.close());
  } catch (error) {
    lock.close();
    throw error;
  }
}

/** Opens a journal's file to read it, beside a running writer or without one. @throws MoveError `JOURNAL_UNREADABLE`. */
export function openForReading(path: string): OpenedDatabase {
  let database: DatabaseSync;
  try {
    database = new DatabaseSync(path, { readOnly: true, timeout: 2_000 });
  } catch (cause) {
    throw unreadable(path, 'it cannot be opened', cause);
  }
  return identify(database, path, () => undefined);
}

function prepare(database: DatabaseSync, path: string, release: () => void): OpenedDatabase {
  try {
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
    if (database.prepare('PRAGMA user_version').get()?.user_version === 0) {
      database.exec(`BEGIN IMMEDIATE; ${SCHEMA}`);
      database.prepare('INSERT INTO journal VALUES (1, ?)').run(randomUUID());
      database.exec('COMMIT');
    }
  } catch (cause) {
    database.close();
    throw unreadable(path, 'it is damaged or no journal', cause);
  }
  return identify(database, path, release);
}

function identify(database: DatabaseSync, path: string, release: () => void): OpenedDatabase {
  try {
    const version = database.prepare('PRAGMA user_version').get()?.user_version;
    if (version !== SCHEMA_VERSION) throw unreadable(path, `it was written by another version (${version})`);
    const journalId = String(database.prepare('SELECT id FROM journal').get()?.id);
    return {
      database,
      journalId,
      close: () => {
        database.close();
        release();
      },
    };
  } catch (cause) {
    database.close();
    if (cause instanceof MoveError) throw cause;
    throw unreadable(path, 'it is damaged or no journal', cause);
  }
}

/**
 * The lock is an exclusive transaction, never ended, in a small database beside the journal: SQLite's file
 * locks hold between processes and within one, and leave the journal itself open to readers.
 */
function takeLock(path: string): DatabaseSync {
  const lockPath = `${path}.lock`;
  createPrivately(lockPath);
  const lock = new DatabaseSync(lockPath, { timeout: 0 });
  try {
    lock.exec('BEGIN EXCLUSIVE');
    return lock;
  } catch (cause) {
    lock.close();
    if ((cause as { errcode?: number }).errcode !== SQLITE_BUSY)
      throw unreadable(path, 'it cannot be locked', cause);
    throw new MoveError(
      'JOURNAL_LOCKED',
      `The journal ${path} is open already. Another control plane runs on this state directory: attach to it, or end it first.`,
      { path },
      cause,
    );
  }
}

/**
 * Makes a file for its owner only, and leaves alone one that is there: opening and closing it here would drop
 * the locks that this process holds on it through SQLite (POSIX locks belong to the process, not the file).
 */
function createPrivately(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
      throw unreadable(path, 'it cannot be made', error);
  }
}

function unreadable(path: string, why: string, cause?: unknown): MoveError {
  return new MoveError(
    'JOURNAL_UNREADABLE',
    `The journal ${path} cannot be used: ${why}. Restore it from a backup or move it out of the way.`,
    { path, reason: why },
    cause,
  );
}
