import { createHash } from 'node:crypto';
import { canonicalJson, type JsonObject } from '../runtime/canonical-json.ts';
import { MoveError } from '../runtime/errors.ts';
import { refuseSecrets } from './secrets.ts';

/** An intent is written before an effect outside, an observation after it. */
export type RecordKind = 'intent' | 'observation';

/** What a caller gives to the journal. */
export interface NewRecord {
  kind: RecordKind;
  /** Dotted, for example `move.phase.started`. Types that begin with `metering.` are the journal's own. */
  type: string;
  /** What it is about: a service, a move, a site. */
  subject?: string;
  /** Who did it or saw it: a person, an agent, a policy. */
  actor?: string;
  data?: JsonObject;
}

/** What the journal gives back. */
export interface JournalRecord {
  /** Rises by one, from one. */
  sequence: number;
  /** Milliseconds since the epoch; never falls from one record to the next. */
  at: number;
  kind: RecordKind;
  type: string;
  subject?: string;
  actor?: string;
  data: JsonObject;
}

/** Bytes of canonical JSON that one record's data may have. */
export const MAX_DATA_BYTES = 262_144;
const MAX_LABEL = 256;
const TYPE = /^[a-z][a-zA-Z0-9-]*(?:\.[a-zA-Z0-9][a-zA-Z0-9-]*)*$/;

/**
 * Checks a record and returns its data as canonical JSON.
 * @throws MoveError `JOURNAL_RECORD_INVALID`, `JOURNAL_RECORD_TOO_LARGE`, `JOURNAL_SECRET_REFUSED`,
 * `VALUE_NOT_JSON`.
 */
export function checkRecord(record: NewRecord): string {
  if (record.kind !== 'intent' && record.kind !== 'observation')
    throw invalid('its kind is neither intent nor observation');
  if (typeof record.type !== 'string' || record.type.length > 128 || !TYPE.test(record.type)) {
    throw invalid(`"${String(record.type).slice(0, 80)}" is not a dotted type`);
  }
  for (const label of [record.subject, record.actor]) {
    if (
      label !== undefined &&
      (typeof label !== 'string' || label.length > MAX_LABEL || !label.isWellFormed())
    ) {
      throw invalid(`subject and actor are texts of at most ${MAX_LABEL} characters`);
    }
  }
  const data = record.data ?? {};
  if (typeof data !== 'object' || data === null || Array.isArray(data))
    throw invalid('its data is not an object');
  const text = canonicalJson(data);
  refuseSecrets(data, record.type);
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_DATA_BYTES) {
    throw new MoveError(
      'JOURNAL_RECORD_TOO_LARGE',
      `A journal record of type ${record.type} has ${bytes} bytes of data; ${MAX_DATA_BYTES} is the limit. Write a summary, and keep bulk elsewhere.`,
      { type: record.type, bytes, limit: MAX_DATA_BYTES },
    );
  }
  return text;
}

/**
 * The link of one record to all before it: SHA-256 over the previous link and the record's canonical JSON.
 * Changing, removing, adding or reordering any record changes every link after it.
 */
export function chainHash(previous: Uint8Array, record: JournalRecord): Buffer {
  return createHash('sha256').update(previous).update(canonicalJson(record)).digest();
}

/** The link before the first record; its own for every journal. */
export function genesisHash(journalId: string): Buffer {
  return createHash('sha256').update(`move-journal-1\n${journalId}`).digest();
}

function invalid(why: string): MoveError {
  return new MoveError('JOURNAL_RECORD_INVALID', `This record cannot go into the journal: ${why}.`, {
    reason: why,
  });
}
