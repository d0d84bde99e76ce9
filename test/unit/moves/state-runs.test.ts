import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PageIndex, pageBytes, readBase } from '../../../core/moves/page-base.ts';
import { encodeRuns, RunDecoder, runHeaderBytes } from '../../../core/moves/state-runs.ts';
import { seededRandom } from '../../../core/runtime/random.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'move-base-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const never = new AbortController().signal;
const page = (content: number) => Buffer.alloc(pageBytes, `${content},`);

async function base(...files: Buffer[]): Promise<{ index: PageIndex; bytes: Buffer }> {
  mkdirSync(directory, { recursive: true });
  files.forEach((content, number) => {
    writeFileSync(join(directory, `file-${number}`), content);
  });
  return { index: await PageIndex.of(directory, never), bytes: readBase(directory) };
}

function decode(pieces: readonly Buffer[], bytes: Buffer, cut = Number.POSITIVE_INFINITY): Buffer {
  const out: Buffer[] = [];
  const decoder = new RunDecoder(bytes, (part) => out.push(Buffer.from(part)));
  const wire = Buffer.concat(pieces);
  for (let at = 0; at < wire.length; at += cut) decoder.push(wire.subarray(at, at + cut));
  expect(decoder.complete).toBe(true);
  return Buffer.concat(out);
}

const size = (pieces: readonly Buffer[]) => pieces.reduce((sum, piece) => sum + piece.length, 0);

describe('runs of a state', () => {
  it('name pages that the other side has, in one run where they follow one another', async () => {
    const { index, bytes } = await base(Buffer.concat([page(1), page(2), page(3)]), page(4));
    const block = Buffer.concat([page(2), page(3), page(4)]);
    const pieces = encodeRuns(block, index);
    expect(size(pieces)).toBe(runHeaderBytes);
    expect(decode(pieces, bytes)).toEqual(block);
  });

  it('carry what changed, and the rest behind the last page', async () => {
    const { index, bytes } = await base(Buffer.concat([page(1), page(2)]));
    const block = Buffer.concat([page(9), page(1), page(8), page(7), page(2), Buffer.from('rest')]);
    const pieces = encodeRuns(block, index);
    expect(size(pieces)).toBe(5 * runHeaderBytes + 3 * pageBytes + 4);
    expect(decode(pieces, bytes)).toEqual(block);
  });

  it('find the pages behind a file that is no multiple of a page', async () => {
    const { index, bytes } = await base(Buffer.concat([page(1), Buffer.from('odd')]), page(2));
    expect(decode(encodeRuns(page(2), index), bytes)).toEqual(page(2));
    expect(size(encodeRuns(page(2), index))).toBe(runHeaderBytes);
  });

  it('are literal without an index', () => {
    const block = Buffer.concat([page(1), page(1)]);
    const pieces = encodeRuns(block, undefined);
    expect(size(pieces)).toBe(runHeaderBytes + block.length);
    expect(decode(pieces, Buffer.alloc(0))).toEqual(block);
    expect(encodeRuns(Buffer.alloc(0), undefined)).toEqual([]);
  });

  it.each(Array.from({ length: 40 }, (_, seed) => seed))(
    'come back as they were, however they are cut (seed %i)',
    async (seed) => {
      const random = seededRandom(seed);
      const some = (count: number) => Array.from({ length: count }, () => page(random.below(12)));
      const { index, bytes } = await base(Buffer.concat(some(6)), Buffer.concat(some(3)));
      const block = Buffer.concat([
        ...some(1 + random.below(20)),
        Buffer.alloc(random.below(pageBytes), 'x'),
      ]);
      expect(decode(encodeRuns(block, index), bytes, 1 + random.below(9000))).toEqual(block);
    },
  );

  it('that name a page nobody sent are refused', () => {
    const decoder = new RunDecoder(page(1), () => undefined);
    const wire = Buffer.alloc(runHeaderBytes);
    wire.writeUInt32BE(1, 0);
    wire.writeUInt32BE(1, 4);
    expect(() => decoder.push(wire)).toThrow('never sent ahead');
  });

  it('are not complete while one is under way', () => {
    const decoder = new RunDecoder(Buffer.alloc(0), () => undefined);
    const [header, content] = encodeRuns(Buffer.from('abc'), undefined);
    decoder.push(header!.subarray(0, 3));
    expect(decoder.complete).toBe(false);
    decoder.push(header!.subarray(3));
    expect(decoder.complete).toBe(false);
    decoder.push(content!);
    expect(decoder.complete).toBe(true);
  });
});
