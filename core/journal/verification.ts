import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';
import { canonicalJson } from '../runtime/canonical-json.ts';
import { openForReading } from './database.ts';
import { recordFromRow } from './reading.ts';
import { chainHash, genesisHash } from './record.ts';

/** The end of the chain: who knows it knows everything before it. */
export interface JournalHead {
  journalId: string;
  /** 0 while the journal is empty. */
  sequence: number;
  /** SHA-256, lower-case hexadecimal. */
  hash: string;
}

export interface Verification {
  ok: boolean;
  /** Records whose link was found right. */
  checked: number;
  /** The first sequence number at which something is wrong. */
  firstBad?: number;
  /** What is wrong there, for people. */
  reason?: string;
  /** Signed heads whose signature was found right. */
  signaturesChecked: number;
  /** Whether the signatures were held against keys that the caller trusts, not only against themselves. */
  signaturesTrusted: boolean;
  head: JournalHead;
}

export interface VerifyOptions {
  /** Ed25519 public keys that may have signed heads. Without them only the signatures' form is checked. */
  trustedKeys?: readonly KeyObject[];
  /** A head noted earlier and elsewhere: shows records cut off at the end, or a journal written anew. */
  knownHead?: JournalHead;
}

const PAGE = 500;

/** Checks a journal's file without opening it for writing, beside a running control plane or without one. */
export async function verifyJournalFile(path: string, options: VerifyOptions = {}): Promise<Verification> {
  const opened = openForReading(path);
  try {
    return await verifyChain(opened.database, opened.journalId, options);
  } finally {
    opened.close();
  }
}

/** Walks the whole chain and every signed head; gives other work a turn between pages. */
export async function verifyChain(
  database: DatabaseSync,
  journalId: string,
  options: VerifyOptions,
): Promise<Verification> {
  const trusted = options.trustedKeys?.map(publicKeyText);
  const heads = readHeads(database);
  let sequence = 0;
  let hash: Buffer = genesisHash(journalId);
  let lastAt = 0;
  let signaturesChecked = 0;
  const result = (firstBad?: number, reason?: string): Verification => ({
    ok: firstBad === undefined,
    checked: sequence,
    ...(firstBad === undefined ? {} : { firstBad, reason }),
    signaturesChecked,
    signaturesTrusted: trusted !== undefined && trusted.length > 0,
    head: { journalId, sequence, hash: hash.toString('hex') },
  });

  if (options.knownHead && options.knownHead.journalId !== journalId) {
    return result(1, 'this is another journal than the one whose head was noted');
  }
  const statement = database.prepare('SELECT * FROM records WHERE sequence > ? ORDER BY sequence LIMIT ?');
  for (;;) {
    const rows = statement.all(sequence, PAGE);
    if (rows.length === 0) break;
    for (const row of rows) {
      const next = sequence + 1;
      if (Number(row.sequence) !== next) return result(next, 'a record is missing');
      const fault = checkRow(row, hash, lastAt);
      if (fault !== null) return result(next, fault);
      sequence = next;
      hash = Buffer.from(row.hash as Uint8Array);
      lastAt = Number(row.at);
      const head = heads.get(sequence);
      if (head) {
        const headFault = checkHead(head, journalId, hash, trusted);
        if (headFault !== null) return result(sequence, headFault);
        heads.delete(sequence);
        signaturesChecked++;
      }
      if (options.knownHead?.sequence === sequence && options.knownHead.hash !== hash.toString('hex')) {
        return result(sequence, 'the chain differs from the head that was noted');
      }
    }
    await setImmediate();
  }
  const beyond = [...heads.keys()].sort((left, right) => left - right)[0];
  if (beyond !== undefined) return result(sequence + 1, `records up to ${beyond} were signed and are gone`);
  if (options.knownHead && options.knownHead.sequence > sequence) {
    return result(sequence + 1, `records up to ${options.knownHead.sequence} were noted and are gone`);
  }
  return result();
}

interface SignedHead {
  sequence: number;
  at: number;
  hash: Buffer;
  publicKey: string;
  signature: Buffer;
}

/** Signs the head of the chain with an Ed25519 key and keeps the signature. */
export function storeSignedHead(database: DatabaseSync, head: JournalHead, at: number, key: KeyObject): void {
  const hash = Buffer.from(head.hash, 'hex');
  const signature = sign(null, headBytes(head.journalId, head.sequence, at, hash), key);
  database
    .prepare('INSERT OR REPLACE INTO signed_heads VALUES (?, ?, ?, ?, ?)')
    .run(head.sequence, at, hash, publicKeyText(createPublicKey(key)), signature);
}

function checkRow(row: Record<string, unknown>, previous: Buffer, lastAt: number): string | null {
  try {
    const record = recordFromRow(row as Parameters<typeof recordFromRow>[0]);
    if (canonicalJson(record.data) !== row.data) return 'the data of this record was changed';
    const expected = chainHash(previous, record);
    if (!expected.equals(row.hash as Uint8Array)) return 'this record, or the link to it, was changed';
    return record.at < lastAt ? 'this record is older than the one before it' : null;
  } catch (error) {
    return `this record cannot be read (${error instanceof Error ? error.message : String(error)})`;
  }
}

function checkHead(
  head: SignedHead,
  journalId: string,
  hash: Buffer,
  trusted: readonly string[] | undefined,
): string | null {
  if (!head.hash.equals(hash)) return 'the signed head does not fit the chain';
  if (trusted && trusted.length > 0 && !trusted.includes(head.publicKey))
    return 'the head was signed by a key that is not trusted';
  try {
    const key = createPublicKey({ key: Buffer.from(head.publicKey, 'base64'), type: 'spki', format: 'der' });
    const bytes = headBytes(journalId, head.sequence, head.at, head.hash);
    return verify(null, bytes, key, head.signature) ? null : 'the signature of the head is wrong';
  } catch (error) {
    return `the signature of the head cannot be read (${error instanceof Error ? error.message : String(error)})`;
  }
}

function readHeads(database: DatabaseSync): Map<number, SignedHead> {
  const rows = database.prepare('SELECT * FROM signed_heads ORDER BY sequence').all();
  return new Map(
    rows.map((row) => [
      Number(row.sequence),
      {
        sequence: Number(row.sequence),
        at: Number(row.at),
        hash: Buffer.from(row.hash as Uint8Array),
        publicKey: String(row.public_key),
        signature: Buffer.from(row.signature as Uint8Array),
      },
    ]),
  );
}

function headBytes(journalId: string, sequence: number, at: number, hash: Buffer): Buffer {
  return Buffer.from(
    `move-journal-head-1\n${canonicalJson({ journalId, sequence, at, hash: hash.toString('hex') })}`,
  );
}

function publicKeyText(key: KeyObject): string {
  return key.export({ type: 'spki', format: 'der' }).toString('base64');
}
