import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { noteRefusal, olderSpool, refusedLoadSchema } from '../../../core/drills/refusal-spool.ts';

let folder: string;
let spool: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'move-spool-'));
  spool = path.join(folder, 'state', 'refused-loads.jsonl');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const note = (target: unknown, at = 1_000.4) =>
  noteRefusal({ at, purpose: 'udp-flood', target, message: 'This load is refused.' }, spool);
const notes = (file = spool) =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => refusedLoadSchema.parse(JSON.parse(line)));

test('a refusal is one line, for nobody but root to read', () => {
  note('8.8.8.8');
  note('192.0.2.1');
  expect(notes()).toEqual([
    { at: 1000, purpose: 'udp-flood', target: '8.8.8.8', message: 'This load is refused.' },
    { at: 1000, purpose: 'udp-flood', target: '192.0.2.1', message: 'This load is refused.' },
  ]);
  expect(lstatSync(spool).mode & 0o777).toBe(0o600);
});

test.each([
  ['x\n{"at":1}\u001b[2J', 'x???at?:1???2J'],
  [{ not: 'text' }, 'nothing that is an address'],
  ['', 'nothing'],
  ['a'.repeat(1_000), 'a'.repeat(64)],
])('the target %j is noted as one short printable word', (target, word) => {
  note(target);
  expect(notes().map((one) => one.target)).toEqual([word]);
});

test('the notes are bounded, and the newest are kept', () => {
  for (let at = 0; at < 3_000; at += 1) note('8.8.8.8', at);
  const kept = [...notes(olderSpool(spool)), ...notes()].map((one) => one.at);
  expect(kept.at(-1)).toBe(2_999);
  expect(kept).toEqual(Array.from(kept, (_, index) => 3_000 - kept.length + index));
  for (const file of [spool, olderSpool(spool)]) expect(lstatSync(file).size).toBeLessThan(66_000);
});

test('a note that cannot be written harms nobody, and no link is followed', () => {
  note('8.8.8.8');
  rmSync(spool);
  const victim = path.join(folder, 'victim');
  writeFileSync(victim, 'untouched');
  symlinkSync(victim, spool);
  note('8.8.8.8');
  expect(readFileSync(victim, 'utf8')).toBe('untouched');
  rmSync(path.join(folder, 'state'), { recursive: true });
  writeFileSync(path.join(folder, 'state'), 'a file where the folder should be');
  note('8.8.8.8');
  expect(existsSync(spool)).toBe(false);
});
