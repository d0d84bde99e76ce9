import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openJournal } from '../../../core/journal/journal.ts';
import { verifyJournalFile } from '../../../core/journal/verification.ts';

const WRITER = join(import.meta.dirname, 'writer.ts');
let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'move-journal-'));
  path = join(directory, 'state', 'journal.sqlite');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Starts a writer; `until` resolves with the last number it acknowledged once that is high enough. */
function startWriter(batch: number) {
  const child = spawn(process.execPath, ['--no-warnings', WRITER, path, String(batch)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  const acknowledged = () => Number(output.slice(0, output.lastIndexOf('\n')).split('\n').at(-1) ?? 0);
  return {
    child,
    acknowledged,
    until: (sequence: number) =>
      new Promise<void>((resolve, reject) => {
        child.once('exit', () => reject(new Error(`the writer ended early: ${errors}`)));
        child.stdout.on('data', (chunk: Buffer) => {
          output += chunk.toString();
          if (acknowledged() >= sequence) resolve();
        });
      }),
  };
}

describe('durability', () => {
  it.each([1, 25])('loses nothing acknowledged to kill -9, in batches of %i', async (batch) => {
    let before = 0;
    for (let round = 0; round < 4; round++) {
      const writer = startWriter(batch);
      await writer.until(before + 40 * batch);
      writer.child.kill('SIGKILL');
      await once(writer.child, 'close');
      const acknowledged = writer.acknowledged();
      const journal = openJournal({ path });
      const head = journal.head().sequence;
      expect(head).toBeGreaterThanOrEqual(acknowledged);
      expect(head % batch).toBe(0);
      expect(await journal.verify()).toMatchObject({ ok: true, checked: head });
      expect(journal.append({ kind: 'observation', type: 'woke' })).toBe(head + 1);
      // Back to a whole number of batches for the next round.
      for (let extra = 1; extra < batch; extra++) journal.append({ kind: 'observation', type: 'woke' });
      before = journal.head().sequence;
      journal.close();
    }
  });

  it('keeps everything over an orderly restart and goes on counting, for its owner only', async () => {
    const first = openJournal({ path });
    first.append([
      { kind: 'intent', type: 'a' },
      { kind: 'observation', type: 'b' },
    ]);
    const head = first.head();
    first.close();
    const second = openJournal({ path });
    expect(second.head()).toEqual(head);
    expect(second.append({ kind: 'intent', type: 'c' })).toBe(3);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(`${path}-wal`).mode & 0o777).toBe(0o600);
    second.close();
  });
});

describe('the lock', () => {
  it('keeps out a second journal in this process', () => {
    const journal = openJournal({ path });
    expect(() => openJournal({ path })).toThrow(expect.objectContaining({ code: 'JOURNAL_LOCKED' }));
    journal.close();
    openJournal({ path }).close();
  });

  it('keeps out another process, also after a failed try here, and ends with its holder', async () => {
    const writer = startWriter(1);
    await writer.until(1);
    expect(() => openJournal({ path })).toThrow(expect.objectContaining({ code: 'JOURNAL_LOCKED' }));
    writer.child.kill('SIGKILL');
    await once(writer.child, 'close');
    const journal = openJournal({ path });
    expect(() => openJournal({ path })).toThrow(expect.objectContaining({ code: 'JOURNAL_LOCKED' }));
    const late = startWriter(1);
    await expect(late.until(1)).rejects.toThrow('JOURNAL_LOCKED');
    journal.close();
  });

  it('does not keep out who only reads', async () => {
    const journal = openJournal({ path });
    journal.append({ kind: 'observation', type: 'a' });
    expect(await verifyJournalFile(path)).toMatchObject({ ok: true, checked: 1 });
    journal.append({ kind: 'observation', type: 'b' });
    expect(await verifyJournalFile(path)).toMatchObject({ ok: true, checked: 2 });
    journal.close();
  });

  it('tells a file that is no journal, and lets go of it', () => {
    const other = join(directory, 'other');
    writeFileSync(other, 'this is not a database, but it is long enough to be taken for one'.repeat(20));
    for (let round = 0; round < 2; round++) {
      expect(() => openJournal({ path: other })).toThrow(
        expect.objectContaining({ code: 'JOURNAL_UNREADABLE' }),
      );
    }
  });
});
