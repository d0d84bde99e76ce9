import type { KeyObject } from 'node:crypto';
import { createPublicKey } from 'node:crypto';
import type { StatementSync } from 'node:sqlite';
import type { JsonObject } from '../runtime/canonical-json.ts';
import { type Clock, systemClock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import { type OpenedDatabase, openForWriting } from './database.ts';
import { Listeners } from './listeners.ts';
import { type ReadOptions, readAll, readPage } from './reading.ts';
import { chainHash, checkRecord, genesisHash, type JournalRecord, type NewRecord } from './record.ts';
import { loadSnapshot, type Snapshot, storeSnapshot } from './snapshots.ts';
import { type TelemetryAggregate, type TelemetryRange, TelemetryTable } from './telemetry.ts';
import {
  type JournalHead,
  storeSignedHead,
  type Verification,
  type VerifyOptions,
  verifyChain,
} from './verification.ts';

export interface JournalOptions {
  /** A file, or `:memory:` for one that nobody else sees and that ends with `close`. */
  path: string;
  clock?: Pick<Clock, 'now'>;
  /** Ed25519 private key; with it the head is signed now and then, and at the end. */
  signingKey?: KeyObject;
  /** Sign after this many records. Default 1,000. */
  signEvery?: number;
}

export type Reducer<State> = (state: State, record: JournalRecord) => State;

export interface ProjectOptions {
  /** Start from the latest snapshot of this name; change the name when the reducer changes. */
  snapshot?: string;
  /** Stop at this sequence number: time travel. */
  until?: number;
}

/**
 * Opens a journal, making it where there is none. One writer at a time.
 * @throws MoveError `JOURNAL_LOCKED`, `JOURNAL_UNREADABLE`.
 */
export function openJournal(options: JournalOptions): Journal {
  return new Journal(openForWriting(options.path), options);
}

const MAX_BATCH = 1_000;

/**
 * The durable store of what was meant and what was seen: numbered, hash-chained, append-only. What `append`
 * has returned survives the death of the process and of the machine.
 */
export class Journal {
  private readonly opened: OpenedDatabase;
  private readonly clock: Pick<Clock, 'now'>;
  private readonly signingKey: KeyObject | undefined;
  private readonly signEvery: number;
  private readonly telemetry: TelemetryTable;
  private readonly insert: StatementSync;
  private readonly listeners = new Listeners();
  private sequence = 0;
  private hash: Buffer;
  private lastAt = 0;
  private signedSequence = 0;
  private closed = false;

  constructor(opened: OpenedDatabase, options: JournalOptions) {
    this.opened = opened;
    this.clock = options.clock ?? systemClock;
    this.signingKey = options.signingKey;
    this.signEvery = options.signEvery ?? 1_000;
    this.telemetry = new TelemetryTable(opened.database);
    this.insert = opened.database.prepare('INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
    this.hash = genesisHash(opened.journalId);
    const last = opened.database
      .prepare('SELECT sequence, at, hash FROM records ORDER BY sequence DESC LIMIT 1')
      .get();
    if (last) {
      this.sequence = Number(last.sequence);
      this.lastAt = Number(last.at);
      this.hash = Buffer.from(last.hash as Uint8Array);
    }
    const signed = opened.database.prepare('SELECT max(sequence) AS sequence FROM signed_heads').get();
    this.signedSequence = Number(signed?.sequence ?? 0);
  }

  /**
   * Appends one record, or several at once: all of them or none. When it returns they are on the disk.
   * Subscribers hear of them afterwards, in order.
   * @returns the sequence number, or the sequence numbers.
   * @throws MoveError `JOURNAL_RECORD_INVALID`, `JOURNAL_RECORD_TOO_LARGE`, `JOURNAL_SECRET_REFUSED`,
   * `VALUE_NOT_JSON`, `JOURNAL_CLOSED`.
   */
  append(record: NewRecord): number;
  append(records: readonly NewRecord[]): number[];
  append(records: NewRecord | readonly NewRecord[]): number | number[] {
    const list = isList(records) ? records : [records];
    for (const record of list) {
      if (typeof record.type === 'string' && /^metering(?:\.|$)/.test(record.type)) {
        throw new MoveError(
          'JOURNAL_RECORD_INVALID',
          'Metering records are numbered by the journal. Use appendMetering.',
        );
      }
    }
    const written = this.write(list).map((record) => record.sequence);
    return isList(records) ? written : (written[0] ?? this.sequence);
  }

  /**
   * Appends a metering record of a subject (a contract, say). Each subject's records are numbered from 1
   * without a gap, so that a ledger can show that none is missing; the number also stands in the record's
   * data, under the chain.
   */
  appendMetering(metering: {
    type: `metering.${string}`;
    subject: string;
    actor?: string;
    data: JsonObject;
  }): {
    sequence: number;
    number: number;
  } {
    const row = this.open()
      .prepare('SELECT max(number) AS number FROM metering WHERE subject = ?')
      .get(metering.subject);
    const number = Number(row?.number ?? 0) + 1;
    const record: NewRecord = { kind: 'observation', ...metering, data: { ...metering.data, number } };
    const [written] = this.write([record], (sequence) => {
      this.open().prepare('INSERT INTO metering VALUES (?, ?, ?)').run(metering.subject, number, sequence);
    });
    return { sequence: written?.sequence ?? this.sequence, number };
  }

  /** One page of records; see {@link ReadOptions}. An empty page is the end. */
  read(options: ReadOptions = {}): JournalRecord[] {
    return readPage(this.open(), options);
  }

  /** All records that fit, read page by page. */
  records(options: Omit<ReadOptions, 'limit'> = {}): Generator<JournalRecord> {
    return readAll(this.open(), options);
  }

  /** The last record written at or before a time (milliseconds since the epoch); 0 when there is none. */
  sequenceAt(atMs: number): number {
    const row = this.open()
      .prepare('SELECT sequence FROM records WHERE at <= ? ORDER BY at DESC, sequence DESC LIMIT 1')
      .get(Math.floor(atMs));
    return Number(row?.sequence ?? 0);
  }

  /**
   * Calls the listener for each record after it is durable, in order. A listener that throws is reported as a
   * process warning and goes on being called: it must not undo what is already true.
   * @returns what ends the subscription.
   */
  subscribe(listener: (record: JournalRecord) => void): () => void {
    return this.listeners.add(listener);
  }

  /** The end of the chain. Noted elsewhere, it proves later that nothing was cut off. */
  head(): JournalHead {
    return { journalId: this.opened.journalId, sequence: this.sequence, hash: this.hash.toString('hex') };
  }

  /** Signs the head now, where there is a key and something new to sign. */
  signHead(): void {
    if (!this.signingKey || this.sequence === this.signedSequence) return;
    storeSignedHead(this.open(), this.head(), Math.floor(this.clock.now()), this.signingKey);
    this.signedSequence = this.sequence;
  }

  /** Checks every record and every signed head; trusts this journal's own key unless told otherwise. */
  verify(options: VerifyOptions = {}): Promise<Verification> {
    const own = this.signingKey ? [createPublicKey(this.signingKey)] : undefined;
    return verifyChain(this.open(), this.opened.journalId, { trustedKeys: own, ...options });
  }

  /** Keeps a projection's state as it was after record `sequence`. @throws MoveError `SNAPSHOT_INVALID`. */
  saveSnapshot(name: string, sequence: number, state: unknown): void {
    this.transaction((database) => storeSnapshot(database, name, sequence, state));
  }

  /** The latest sound snapshot of a name, at or before a sequence number where one is given. */
  latestSnapshot<State>(name: string, atOrBefore = Number.MAX_SAFE_INTEGER): Snapshot<State> | null {
    return loadSnapshot<State>(this.open(), name, atOrBefore);
  }

  /**
   * The state that the records make: `initial`, or the latest snapshot, taken through a pure reducer.
   */
  project<State>(reducer: Reducer<State>, initial: State, options: ProjectOptions = {}): Snapshot<State> {
    const until = Math.min(options.until ?? this.sequence, this.sequence);
    const start = options.snapshot === undefined ? null : this.latestSnapshot<State>(options.snapshot, until);
    let { sequence, state } = start ?? { sequence: 0, state: initial };
    for (const record of this.records({ after: sequence, until })) {
      state = reducer(state, record);
      sequence = record.sequence;
    }
    return { sequence, state };
  }

  /** Stores one-second aggregates, all or none. @throws MoveError `TELEMETRY_INVALID`. */
  appendTelemetry(rows: readonly TelemetryAggregate[]): void {
    this.transaction(() => this.telemetry.append(rows));
  }

  /** Reads aggregates of a range of seconds. */
  readTelemetry(range: TelemetryRange): TelemetryAggregate[] {
    this.open();
    return this.telemetry.read(range);
  }

  /** Forgets aggregates before a second, to bound the file; returns how many went. */
  forgetTelemetryBefore(second: number): number {
    this.open();
    return this.telemetry.forgetBefore(second);
  }

  /** Signs the head, closes the file and gives up the lock. Safe to call twice. */
  close(): void {
    if (this.closed) return;
    try {
      this.signHead();
    } finally {
      this.closed = true;
      this.listeners.clear();
      this.opened.close();
    }
  }

  private write(records: readonly NewRecord[], also?: (sequence: number) => void): JournalRecord[] {
    if (records.length > MAX_BATCH) {
      throw new MoveError(
        'JOURNAL_RECORD_INVALID',
        `At most ${MAX_BATCH} records go into the journal at once. Append them in parts.`,
      );
    }
    const at = Math.max(Math.floor(this.clock.now()), this.lastAt);
    const texts = records.map(checkRecord);
    const written: JournalRecord[] = [];
    let hash = this.hash;
    this.transaction(() => {
      records.forEach(({ kind, type, subject, actor }, index) => {
        const text = texts[index] ?? '{}';
        const record: JournalRecord = {
          sequence: this.sequence + index + 1,
          at,
          kind,
          type,
          ...(subject === undefined ? {} : { subject }),
          ...(actor === undefined ? {} : { actor }),
          // Read back from its text: what the caller still holds and may change is not what was written.
          data: JSON.parse(text) as JsonObject,
        };
        hash = chainHash(hash, record);
        this.insert.run(record.sequence, at, kind, type, subject ?? null, actor ?? null, text, hash);
        also?.(record.sequence);
        written.push(record);
      });
    });
    this.sequence += written.length;
    this.hash = hash;
    this.lastAt = at;
    if (this.sequence - this.signedSequence >= this.signEvery) this.signHead();
    this.listeners.tell(written);
    return written;
  }

  private transaction(run: (database: OpenedDatabase['database']) => void): void {
    const database = this.open();
    database.exec('BEGIN IMMEDIATE');
    try {
      run(database);
      database.exec('COMMIT');
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK');
      this.telemetry.forgetIds();
      throw error;
    }
  }

  private open(): OpenedDatabase['database'] {
    if (!this.closed) return this.opened.database;
    throw new MoveError('JOURNAL_CLOSED', 'The journal is closed. Open it again first.');
  }
}

function isList(records: NewRecord | readonly NewRecord[]): records is readonly NewRecord[] {
  return Array.isArray(records);
}
