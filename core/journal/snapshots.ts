import { createHash } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { canonicalJson } from '../runtime/canonical-json.ts';
import { MoveError } from '../runtime/errors.ts';

/** What a projection had become after a record. `State` is the caller's word: the journal stores any JSON. */
export interface Snapshot<State> {
  sequence: number;
  state: State;
}

const MAX_STATE_BYTES = 64 << 20;
/** Snapshots kept of one name; the oldest go first. */
const KEPT = 24;

/**
 * Keeps a state under a name. It is a shortcut only: the records remain the truth.
 * @throws MoveError `SNAPSHOT_INVALID`, `VALUE_NOT_JSON`.
 */
export function storeSnapshot(database: DatabaseSync, name: string, sequence: number, state: unknown): void {
  const text = canonicalJson(state);
  if (Buffer.byteLength(text) > MAX_STATE_BYTES) {
    throw new MoveError(
      'SNAPSHOT_INVALID',
      `A snapshot has at most ${MAX_STATE_BYTES} bytes. Keep less in it.`,
      { name },
    );
  }
  const recordHash = recordHashAt(database, sequence);
  if (recordHash === null) {
    throw new MoveError('SNAPSHOT_INVALID', `There is no record ${sequence} that a snapshot could follow.`, {
      name,
      sequence,
    });
  }
  database
    .prepare('INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?)')
    .run(name, sequence, recordHash, text, stateHash(text));
  database
    .prepare(
      'DELETE FROM snapshots WHERE name = ? AND sequence <= (SELECT sequence FROM snapshots WHERE name = ? ORDER BY sequence DESC LIMIT 1 OFFSET ?)',
    )
    .run(name, name, KEPT);
}

/**
 * The latest snapshot of a name at or before a record. One that does not fit the chain or was changed is
 * passed over, since the records can always make it anew.
 */
export function loadSnapshot<State>(
  database: DatabaseSync,
  name: string,
  until: number,
): Snapshot<State> | null {
  const rows = database
    .prepare('SELECT * FROM snapshots WHERE name = ? AND sequence <= ? ORDER BY sequence DESC')
    .iterate(name, until);
  for (const row of rows) {
    const text = String(row.state);
    const sequence = Number(row.sequence);
    const fits = recordHashAt(database, sequence)?.equals(row.record_hash as Uint8Array) ?? false;
    if (fits && stateHash(text).equals(row.state_hash as Uint8Array)) {
      return { sequence, state: JSON.parse(text) as State };
    }
  }
  return null;
}

function recordHashAt(database: DatabaseSync, sequence: number): Buffer | null {
  if (sequence === 0) return Buffer.alloc(0);
  const row = database.prepare('SELECT hash FROM records WHERE sequence = ?').get(sequence);
  return row ? Buffer.from(row.hash as Uint8Array) : null;
}

function stateHash(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
