import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { MoveError } from '../runtime/errors.ts';

/** What was measured of one series within one second. */
export interface TelemetryAggregate {
  /** Whole seconds since the epoch. */
  second: number;
  /** The unit stands in the name, for example `client-1.overlay.latencyMs`. */
  series: string;
  count: number;
  min: number;
  max: number;
  sum: number;
  p50: number;
  p95: number;
}

export interface TelemetryRange {
  /** Whole seconds since the epoch, inclusive, both. */
  from: number;
  to: number;
  /** All series when left out. */
  series?: readonly string[];
  /** At most this many rows. Default 10,000, at most 100,000. */
  limit?: number;
}

const MAX_BATCH = 10_000;
const MAX_SERIES_ASKED = 100;

/** One-second aggregates: a table of their own, outside the hash chain, which can be thinned out by age. */
export class TelemetryTable {
  private readonly database: DatabaseSync;
  private readonly ids = new Map<string, number>();

  constructor(database: DatabaseSync) {
    this.database = database;
  }

  /** Adds rows within the caller's transaction; a second of a series that is there already is replaced. */
  append(rows: readonly TelemetryAggregate[]): void {
    if (rows.length > MAX_BATCH) throw invalid(`at most ${MAX_BATCH} rows at a time`);
    for (const row of rows) check(row);
    const insert = this.database.prepare('INSERT OR REPLACE INTO telemetry VALUES (?, ?, ?, ?, ?, ?, ?, ?)');
    for (const row of rows) {
      insert.run(
        row.second,
        this.seriesId(row.series),
        row.count,
        row.min,
        row.max,
        row.sum,
        row.p50,
        row.p95,
      );
    }
  }

  /** Rows in the order of time, then series name. */
  read(range: TelemetryRange): TelemetryAggregate[] {
    const values: SQLInputValue[] = [range.from, range.to];
    let filter = '';
    if (range.series) {
      if (range.series.length > MAX_SERIES_ASKED)
        throw invalid(`at most ${MAX_SERIES_ASKED} series at a time`);
      filter = `AND name IN (${range.series.map(() => '?').join(', ')})`;
      values.push(...range.series);
    }
    const limit = Math.max(1, Math.min(range.limit ?? 10_000, 100_000));
    const rows = this.database
      .prepare(
        `SELECT telemetry.*, name FROM telemetry JOIN series ON series.id = telemetry.series
         WHERE second BETWEEN ? AND ? ${filter} ORDER BY second, name LIMIT ?`,
      )
      .all(...values, limit);
    return rows.map((row) => ({
      second: Number(row.second),
      series: String(row.name),
      count: Number(row.count),
      min: Number(row.min),
      max: Number(row.max),
      sum: Number(row.sum),
      p50: Number(row.p50),
      p95: Number(row.p95),
    }));
  }

  /** Forgets everything before a second; returns how many rows went. */
  forgetBefore(second: number): number {
    return Number(this.database.prepare('DELETE FROM telemetry WHERE second < ?').run(second).changes);
  }

  /** After a rolled back transaction ids that it gave out are void. */
  forgetIds(): void {
    this.ids.clear();
  }

  private seriesId(name: string): number {
    const known = this.ids.get(name);
    if (known !== undefined) return known;
    this.database.prepare('INSERT OR IGNORE INTO series (name) VALUES (?)').run(name);
    const id = Number(this.database.prepare('SELECT id FROM series WHERE name = ?').get(name)?.id);
    if (this.ids.size >= 10_000) this.ids.clear();
    this.ids.set(name, id);
    return id;
  }
}

function check(row: TelemetryAggregate): void {
  const numbers = [row.min, row.max, row.sum, row.p50, row.p95];
  const right =
    Number.isSafeInteger(row.second) &&
    row.second >= 0 &&
    row.series.length > 0 &&
    row.series.length <= 200 &&
    Number.isSafeInteger(row.count) &&
    row.count > 0 &&
    numbers.every(Number.isFinite) &&
    row.min <= row.max;
  if (!right)
    throw invalid('a row needs a whole second, a series name, a count above zero and finite numbers');
}

function invalid(why: string): MoveError {
  return new MoveError('TELEMETRY_INVALID', `This telemetry cannot be stored or read: ${why}.`, {
    reason: why,
  });
}
