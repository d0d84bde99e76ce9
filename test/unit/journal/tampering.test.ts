import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openJournal } from '../../../core/journal/journal.ts';
import { type JournalHead, verifyJournalFile } from '../../../core/journal/verification.ts';

const { privateKey: signingKey } = generateKeyPairSync('ed25519');
const trustedKeys = [createPublicKey(signingKey)];
let directory: string;
let path: string;
let noted: JournalHead;

function fill(to: string): JournalHead {
  const journal = openJournal({ path: to, signingKey, signEvery: 10 });
  for (let n = 1; n <= 24; n++) {
    journal.append({ kind: 'observation', type: 'a', subject: 's', actor: 'x', data: { n } });
  }
  journal.saveSnapshot('state', 5, { n: 5 });
  journal.saveSnapshot('state', 20, { n: 20 });
  const head = journal.head();
  journal.close();
  return head;
}
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'move-journal-'));
  path = join(directory, 'journal.sqlite');
  noted = fill(path);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function tamper(sql: string): void {
  const database = new DatabaseSync(path);
  database.exec(sql);
  database.close();
}

describe('verification', () => {
  it('finds nothing in a journal that nobody touched', async () => {
    expect(await verifyJournalFile(path, { trustedKeys, knownHead: noted })).toMatchObject({
      ok: true,
      checked: 24,
      signaturesChecked: 3,
      signaturesTrusted: true,
    });
  });

  it.each([
    ['changed data', `UPDATE records SET data = '{"n":99}' WHERE sequence = 7`, 7],
    ['data written differently', `UPDATE records SET data = '{ "n":7}' WHERE sequence = 7`, 7],
    ['data that is not JSON', `UPDATE records SET data = '{' WHERE sequence = 7`, 7],
    ['a changed time', 'UPDATE records SET at = at + 1 WHERE sequence = 7', 7],
    ['a changed kind', `UPDATE records SET kind = 'intent' WHERE sequence = 7`, 7],
    ['a changed type', `UPDATE records SET type = 'b' WHERE sequence = 7`, 7],
    ['a changed subject', `UPDATE records SET subject = NULL WHERE sequence = 7`, 7],
    ['a changed actor', `UPDATE records SET actor = 'somebody else' WHERE sequence = 7`, 7],
    ['a changed link', `UPDATE records SET hash = zeroblob(32) WHERE sequence = 7`, 7],
    ['a removed record', 'DELETE FROM records WHERE sequence = 7', 7],
    ['the first record removed', 'DELETE FROM records WHERE sequence = 1', 1],
    [
      'records that changed places',
      'UPDATE records SET sequence = 100 WHERE sequence = 7; UPDATE records SET sequence = 7 WHERE sequence = 8; UPDATE records SET sequence = 8 WHERE sequence = 100',
      7,
    ],
    [
      'an added record',
      `INSERT INTO records SELECT 25, at, kind, type, subject, actor, data, hash FROM records WHERE sequence = 24`,
      25,
    ],
    ['signed records cut off', 'DELETE FROM records WHERE sequence > 22', 23],
    ['a forged signature', `UPDATE signed_heads SET signature = zeroblob(64) WHERE sequence = 10`, 10],
    ['a signature of another time', 'UPDATE signed_heads SET at = at + 1 WHERE sequence = 20', 20],
    ['another identity of the journal', `UPDATE journal SET id = 'another'`, 1],
  ])('finds %s', async (_title, sql, firstBad) => {
    tamper(sql);
    const result = await verifyJournalFile(path, { trustedKeys });
    expect(result).toMatchObject({ ok: false, firstBad, checked: expect.any(Number) });
    expect(result.reason).toBeTruthy();
  });

  it('finds a cut that takes the signed heads along, by the head that was noted elsewhere', async () => {
    tamper('DELETE FROM records WHERE sequence > 12; DELETE FROM signed_heads WHERE sequence > 12');
    expect((await verifyJournalFile(path, { trustedKeys })).ok).toBe(true);
    expect(await verifyJournalFile(path, { trustedKeys, knownHead: noted })).toMatchObject({
      ok: false,
      firstBad: 13,
    });
  });

  it('finds a journal that somebody wrote anew with a key of their own', async () => {
    const { privateKey: wrongKey } = generateKeyPairSync('ed25519');
    const forged = openJournal({ path: join(directory, 'forged.sqlite'), signingKey: wrongKey });
    forged.append({ kind: 'observation', type: 'a' });
    forged.close();
    const file = join(directory, 'forged.sqlite');
    expect(await verifyJournalFile(file)).toMatchObject({ ok: true, signaturesTrusted: false });
    expect(await verifyJournalFile(file, { trustedKeys })).toMatchObject({ ok: false, firstBad: 1 });
    expect(await verifyJournalFile(file, { knownHead: noted })).toMatchObject({ ok: false, firstBad: 1 });
  });

  it('passes over snapshots that were changed or no longer fit the records', () => {
    tamper(`UPDATE snapshots SET state = '{"n":21}' WHERE sequence = 20`);
    const changed = openJournal({ path });
    expect(changed.latestSnapshot('state')).toEqual({ sequence: 5, state: { n: 5 } });
    changed.close();
    tamper('UPDATE records SET hash = zeroblob(32) WHERE sequence = 5');
    const broken = openJournal({ path });
    expect(broken.latestSnapshot('state')).toBeNull();
    broken.close();
  });
});
