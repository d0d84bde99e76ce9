import type { DatabaseSync, SQLInputValue, SQLOutputValue } from 'node:sqlite';
import type { JsonObject } from '../runtime/canonical-json.ts';
import { MoveError } from '../runtime/errors.ts';
import type { JournalRecord, RecordKind } from './record.ts';

export interface ReadOptions {
  /** Only records with a higher sequence number. Default 0. */
  after?: number;
  /** Only records up to and with this sequence number. */
  until?: number;
  /** Only records up to and with this time, milliseconds since the epoch. */
  untilMs?: number;
  /** Exact types, or prefixes that end in `.*`; at most 64. */
  types?: readonly string[];
  subject?: string;
  /** At most this many. Default 1,000, at most 10,000. */
  limit?: number;
}

const DEFAULT_LIMIT = 1_000;
const MAX_LIMIT = 10_000;
const MAX_TYPES = 64;
/** Characters of data after which a page ends, however many records were asked for. */
const MAX_PAGE_CHARACTERS = 16 << 20;

/**
 * Reads one page in the order of the sequence. A page is bounded in records and in size, so the only sign of
 * the end is an empty page.
 * @throws MoveError `JOURNAL_READ_INVALID`.
 */
export function readPage(database: DatabaseSync, options: ReadOptions): JournalRecord[] {
  const { where, values } = conditions(options);
  const limit = Math.max(1, Math.min(options.limit ?? DEFAULT_LIMIT, MAX_LIMIT));
  const statement = database.prepare(
    `SELECT sequence, at, kind, type, subject, actor, data FROM records WHERE ${where} ORDER BY sequence LIMIT ?`,
  );
  const page: JournalRecord[] = [];
  let characters = 0;
  for (const row of statement.iterate(...values, limit)) {
    page.push(recordFromRow(row));
    characters += String(row.data).length;
    if (characters >= MAX_PAGE_CHARACTERS) break;
  }
  return page;
}

/** All records that fit, page by page; holds one page in memory. */
export function* readAll(
  database: DatabaseSync,
  options: Omit<ReadOptions, 'limit'>,
): Generator<JournalRecord> {
  let after = options.after ?? 0;
  for (;;) {
    const page = readPage(database, { ...options, after });
    const last = page.at(-1);
    if (!last) return;
    yield* page;
    after = last.sequence;
  }
}

export function recordFromRow(row: Record<string, SQLOutputValue>): JournalRecord {
  return {
    sequence: Number(row.sequence),
    at: Number(row.at),
    kind: String(row.kind) as RecordKind,
    type: String(row.type),
    ...(row.subject === null ? {} : { subject: String(row.subject) }),
    ...(row.actor === null ? {} : { actor: String(row.actor) }),
    data: JSON.parse(String(row.data)) as JsonObject,
  };
}

function conditions(options: ReadOptions): { where: string; values: SQLInputValue[] } {
  const parts = ['sequence > ?'];
  const values: SQLInputValue[] = [whole(options.after ?? 0, 'after')];
  if (options.until !== undefined) {
    parts.push('sequence <= ?');
    values.push(whole(options.until, 'until'));
  }
  if (options.untilMs !== undefined) {
    parts.push('at <= ?');
    values.push(Math.floor(options.untilMs));
  }
  if (options.subject !== undefined) {
    parts.push('subject = ?');
    values.push(options.subject);
  }
  if (options.types !== undefined) {
    if (options.types.length > MAX_TYPES)
      throw invalid(`at most ${MAX_TYPES} types can be asked for at once`);
    const either = options.types.map((type) => {
      if (!type.endsWith('.*')) {
        values.push(type);
        return 'type = ?';
      }
      // "/" is the character after ".": this is the prefix as a range, which the index can serve.
      const prefix = type.slice(0, -2);
      values.push(`${prefix}.`, `${prefix}/`);
      return '(type >= ? AND type < ?)';
    });
    parts.push(either.length > 0 ? `(${either.join(' OR ')})` : 'FALSE');
  }
  return { where: parts.join(' AND '), values };
}

function whole(value: number, name: string): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw invalid(`"${name}" is a sequence number, not ${value}`);
}

function invalid(why: string): MoveError {
  return new MoveError('JOURNAL_READ_INVALID', `The journal cannot be read like this: ${why}.`, {
    reason: why,
  });
}
