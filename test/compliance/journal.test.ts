import { generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Journal, openJournal } from '../../core/journal/journal.ts';
import type { JournalRecord, NewRecord } from '../../core/journal/record.ts';

/** What every journal promises, wherever it keeps its records. */
describe.each(['file', 'memory'])('journal in %s', (where) => {
  const { privateKey: signingKey } = generateKeyPairSync('ed25519');
  let directory: string;
  let now: number;
  let journal: Journal;
  const observed = (type: string, data: Record<string, never> | { n: number } = {}): NewRecord => ({
    kind: 'observation',
    type,
    data,
  });

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'move-journal-'));
    now = 1_700_000_000_000;
    const path = where === 'file' ? join(directory, 'journal.sqlite') : ':memory:';
    journal = openJournal({ path, clock: { now: () => now }, signingKey, signEvery: 10 });
  });
  afterEach(() => {
    journal.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it('numbers records from one without a gap and gives them back as they were', () => {
    const record: NewRecord = {
      kind: 'intent',
      type: 'move.commit',
      subject: 'shop.example',
      actor: 'admin',
      data: { to: 'b1', epoch: 2, nested: { list: [1, null, 'ü'] } },
    };
    expect(journal.append(record)).toBe(1);
    expect(journal.append([observed('a'), observed('b')])).toEqual([2, 3]);
    expect(journal.append([])).toEqual([]);
    expect(journal.read()[0]).toEqual({ sequence: 1, at: now, ...record });
    expect(journal.read()[1]).toEqual({ sequence: 2, at: now, kind: 'observation', type: 'a', data: {} });
    expect(journal.head().sequence).toBe(3);
  });

  it('keeps what was written, whatever the caller does to its object later', () => {
    const data = { n: 1 };
    const heard: JournalRecord[] = [];
    journal.subscribe((record) => heard.push(record));
    journal.append(observed('a', data));
    data.n = 2;
    expect(journal.read()[0]?.data).toEqual({ n: 1 });
    expect(heard[0]?.data).toEqual({ n: 1 });
  });

  it('never lets time fall, even when the clock does', () => {
    journal.append(observed('a'));
    now -= 60_000;
    journal.append(observed('b'));
    now += 120_000;
    journal.append(observed('c'));
    expect(journal.read().map((record) => record.at - 1_700_000_000_000)).toEqual([0, 0, 60_000]);
    expect(journal.sequenceAt(1_700_000_000_000)).toBe(2);
    expect(journal.sequenceAt(1_699_999_999_999)).toBe(0);
  });

  it('appends a batch whole or not at all', () => {
    expect(() => journal.append([observed('a'), observed('Not A Type')])).toThrow(
      expect.objectContaining({ code: 'JOURNAL_RECORD_INVALID' }),
    );
    expect(journal.head().sequence).toBe(0);
    expect(journal.append(observed('b'))).toBe(1);
  });

  it('reads by place, time, type, subject and number', () => {
    for (let n = 1; n <= 20; n++) {
      now += 1;
      journal.append({
        ...observed(n % 2 ? 'move.phase' : 'ring.join', { n }),
        subject: n > 10 ? 'late' : 'early',
      });
    }
    const numbers = (options: Parameters<Journal['read']>[0]) => journal.read(options).map((r) => r.sequence);
    expect(numbers({ after: 17 })).toEqual([18, 19, 20]);
    expect(numbers({ after: 2, until: 5 })).toEqual([3, 4, 5]);
    expect(numbers({ untilMs: 1_700_000_000_002 })).toEqual([1, 2]);
    expect(numbers({ limit: 2 })).toEqual([1, 2]);
    expect(numbers({ types: ['ring.join'], limit: 3 })).toEqual([2, 4, 6]);
    expect(numbers({ types: ['move.*'], after: 16 })).toEqual([17, 19]);
    expect(numbers({ types: ['move', 'mov.*', 'move.phase.*'] })).toEqual([]);
    expect(numbers({ types: [] })).toEqual([]);
    expect(numbers({ subject: 'late', types: ['move.phase', 'ring.*'], limit: 2 })).toEqual([11, 12]);
    expect([...journal.records({ after: 3 })]).toHaveLength(17);
  });

  it('bounds a page in records and in size', () => {
    const big = { kind: 'observation' as const, type: 'big', data: { text: 'x'.repeat(250_000) } };
    for (let n = 0; n < 8; n++) journal.append(Array.from({ length: 10 }, () => big));
    const page = journal.read({ limit: 1_000_000 });
    expect(page.length).toBeLessThan(80);
    expect(page.length).toBeGreaterThan(50);
    expect([...journal.records()]).toHaveLength(80);
    const small = Array.from({ length: 1_000 }, () => observed('small'));
    for (let n = 0; n < 11; n++) journal.append(small);
    expect(journal.read({ types: ['small'] })).toHaveLength(1_000);
    expect(journal.read({ types: ['small'], limit: 1_000_000 })).toHaveLength(10_000);
    expect(() => journal.append([...small, observed('one too many')])).toThrow(
      expect.objectContaining({ code: 'JOURNAL_RECORD_INVALID' }),
    );
  });

  it.each([
    [{ kind: 'rumour', type: 'a' }, 'JOURNAL_RECORD_INVALID'],
    [{ kind: 'intent', type: 'A b' }, 'JOURNAL_RECORD_INVALID'],
    [{ kind: 'intent', type: 'a..b' }, 'JOURNAL_RECORD_INVALID'],
    [{ kind: 'intent', type: 'metering.host' }, 'JOURNAL_RECORD_INVALID'],
    [{ kind: 'intent', type: 'a', subject: 'x'.repeat(257) }, 'JOURNAL_RECORD_INVALID'],
    [{ kind: 'intent', type: 'a', data: [1] }, 'JOURNAL_RECORD_INVALID'],
    [{ kind: 'intent', type: 'a', data: { n: Number.NaN } }, 'VALUE_NOT_JSON'],
    [{ kind: 'intent', type: 'a', data: { text: 'x'.repeat(262_144) } }, 'JOURNAL_RECORD_TOO_LARGE'],
    [{ kind: 'intent', type: 'a', data: { request: { passphrase: 'x' } } }, 'JOURNAL_SECRET_REFUSED'],
  ])('refuses a bad record (%#)', (record, code) => {
    expect(() => journal.append(record as never)).toThrow(expect.objectContaining({ code }));
    expect(journal.read()).toEqual([]);
  });

  it('tells subscribers in order, also when they append, and goes on when one throws', async () => {
    const heard: string[] = [];
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
    journal.subscribe((record) => {
      if (record.type === 'first') journal.append(observed('second'));
      throw new Error('a listener that fails');
    });
    const stop = journal.subscribe((record) => heard.push(`${record.sequence} ${record.type}`));
    journal.append([observed('first'), observed('third')]);
    expect(heard).toEqual(['1 first', '2 third', '3 second']);
    stop();
    journal.append(observed('unheard'));
    expect(heard).toHaveLength(3);
    expect((await warned).message).toBe('a listener that fails');
  });

  it('verifies itself and its signed heads', async () => {
    for (let n = 0; n < 25; n++) journal.append(observed('a', { n }));
    journal.signHead();
    const result = await journal.verify();
    expect(result).toEqual({
      ok: true,
      checked: 25,
      signaturesChecked: 3,
      signaturesTrusted: true,
      head: journal.head(),
    });
  });

  it('projects from the start, from a snapshot, and into the past', () => {
    const seen: number[] = [];
    const sum = (state: { total: number }, record: JournalRecord) => {
      seen.push(record.sequence);
      return { total: state.total + Number(record.data.n ?? 0) };
    };
    for (let n = 1; n <= 10; n++) journal.append(observed('a', { n }));
    expect(journal.project(sum, { total: 0 })).toEqual({ sequence: 10, state: { total: 55 } });
    const half = journal.project(sum, { total: 0 }, { until: 5 });
    expect(half).toEqual({ sequence: 5, state: { total: 15 } });
    journal.saveSnapshot('sum-1', half.sequence, half.state);
    seen.length = 0;
    expect(journal.project(sum, { total: 0 }, { snapshot: 'sum-1' }).state).toEqual({ total: 55 });
    expect(seen).toEqual([6, 7, 8, 9, 10]);
    expect(journal.project(sum, { total: 0 }, { snapshot: 'sum-1', until: 4 }).state).toEqual({ total: 10 });
    expect(journal.project(sum, { total: 0 }, { snapshot: 'other' }).state).toEqual({ total: 55 });
  });

  it('keeps a bounded number of snapshots of a name, and finds the right one', () => {
    for (let n = 1; n <= 40; n++) {
      journal.append(observed('a', { n }));
      journal.saveSnapshot('state', n, { n });
    }
    expect(journal.latestSnapshot('state')).toEqual({ sequence: 40, state: { n: 40 } });
    expect(journal.latestSnapshot('state', 30)?.sequence).toBe(30);
    expect(journal.latestSnapshot('state', 17)?.sequence).toBe(17);
    expect(journal.latestSnapshot('state', 16)).toBeNull();
    expect(journal.latestSnapshot('none')).toBeNull();
    expect(() => journal.saveSnapshot('state', 41, {})).toThrow(
      expect.objectContaining({ code: 'SNAPSHOT_INVALID' }),
    );
  });

  it('keeps one-second aggregates', () => {
    const row = (second: number, series: string) => ({
      second,
      series,
      count: 100,
      min: 0.4,
      max: 12.5,
      sum: 210.25,
      p50: 1.5,
      p95: 9.75,
    });
    journal.appendTelemetry([row(100, 'b'), row(100, 'a'), row(101, 'a')]);
    journal.appendTelemetry([{ ...row(101, 'a'), count: 7 }]);
    expect(journal.readTelemetry({ from: 100, to: 101 }).map((r) => [r.second, r.series, r.count])).toEqual([
      [100, 'a', 100],
      [100, 'b', 100],
      [101, 'a', 7],
    ]);
    expect(journal.readTelemetry({ from: 0, to: 200, series: ['b'] })).toEqual([row(100, 'b')]);
    expect(journal.readTelemetry({ from: 0, to: 200, limit: 1 })).toHaveLength(1);
    for (const bad of [{ count: 0 }, { second: 1.5 }, { p95: Number.NaN }, { min: 99 }, { series: '' }]) {
      expect(() => journal.appendTelemetry([row(102, 'c'), { ...row(102, 'a'), ...bad }])).toThrow(
        expect.objectContaining({ code: 'TELEMETRY_INVALID' }),
      );
    }
    expect(journal.readTelemetry({ from: 102, to: 102 })).toEqual([]);
    expect(journal.forgetTelemetryBefore(101)).toBe(2);
    expect(journal.readTelemetry({ from: 0, to: 200 })).toHaveLength(1);
  });

  it('numbers metering records for each subject without a gap, under the chain', async () => {
    const meter = (subject: string) =>
      journal.appendMetering({ type: 'metering.host', subject, data: { cpuSeconds: 1.5 } });
    expect(meter('contract-1')).toEqual({ sequence: 1, number: 1 });
    journal.append(observed('a'));
    expect(meter('contract-2')).toEqual({ sequence: 3, number: 1 });
    expect(meter('contract-1')).toEqual({ sequence: 4, number: 2 });
    expect(() =>
      journal.appendMetering({ type: 'metering.host', subject: 'contract-1', data: { token: 'x' } }),
    ).toThrow(expect.objectContaining({ code: 'JOURNAL_SECRET_REFUSED' }));
    expect(meter('contract-1').number).toBe(3);
    const records = journal.read({ types: ['metering.*'], subject: 'contract-1' });
    expect(records.map((record) => record.data)).toEqual(
      [1, 2, 3].map((number) => ({ cpuSeconds: 1.5, number })),
    );
    expect((await journal.verify()).ok).toBe(true);
  });

  it('says so once it is closed', () => {
    journal.close();
    journal.close();
    expect(() => journal.append(observed('a'))).toThrow(expect.objectContaining({ code: 'JOURNAL_CLOSED' }));
    expect(() => journal.read()).toThrow(expect.objectContaining({ code: 'JOURNAL_CLOSED' }));
  });
});
