import { randomBytes } from 'node:crypto';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Duplex, duplexPair, Transform } from 'node:stream';
import { constants, zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { plainLevel } from '../../../core/moves/compression-choice.ts';
import { PageIndex, readBase } from '../../../core/moves/page-base.ts';
import { encodeRuns } from '../../../core/moves/state-runs.ts';
import { receiveState, sendState } from '../../../core/moves/state-transfer.ts';

let home: string;
let from: string;
let to: string;

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'move-state-'));
  from = join(home, 'from');
  to = join(home, 'to');
  mkdirSync(from);
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const limit = 64 << 20;

/** Two ends of a way; what goes from the first to the second passes `spoil`. */
function way(spoil?: (chunk: Buffer, offset: number) => Buffer): [Duplex, Duplex] {
  const [near, middle] = duplexPair();
  const [other, far] = duplexPair();
  let offset = 0;
  middle
    .pipe(
      new Transform({
        transform(chunk: Buffer, _encoding, done) {
          const passed = spoil ? spoil(chunk, offset) : chunk;
          offset += chunk.length;
          done(null, passed);
        },
      }),
    )
    .pipe(other)
    .pipe(middle);
  return [near, far];
}

function fill(files: Record<string, Buffer>): void {
  for (const [name, content] of Object.entries(files)) writeFileSync(join(from, name), content);
}

const arrived = () =>
  Object.fromEntries(readdirSync(to).map((name) => [name, readFileSync(join(to, name)).toString('base64')]));

describe('the state of a pod', () => {
  it('arrives byte for byte: empty files, small ones, and ones larger than a block', async () => {
    const files = {
      'checkpoint.json': Buffer.from('{}'),
      'empty.img': Buffer.alloc(0),
      'pages-1.img': Buffer.concat([randomBytes(3 << 20), Buffer.alloc(2 << 20), randomBytes(17)]),
      'pages-2.img': Buffer.alloc(1 << 20, 'page'),
      'last.img': Buffer.alloc(0),
    };
    fill(files);
    const [near, far] = way();
    const [sent, received] = await Promise.all([sendState(from, near), receiveState(far, to, limit)]);
    const bytes = Object.values(files).reduce((sum, content) => sum + content.length, 0);
    expect(sent.stateBytes).toBe(bytes);
    expect(sent.wireBytes).toBeGreaterThan(3 << 20);
    expect(sent.wireBytes).toBeLessThan(4 << 20);
    expect(received).toEqual({ stateBytes: bytes, intact: true });
    expect(arrived()).toEqual(
      Object.fromEntries(Object.entries(files).map(([name, content]) => [name, content.toString('base64')])),
    );
  });

  it('goes as it is where that is quicker, and is checked all the same', async () => {
    fill({ 'pages-1.img': Buffer.alloc(2 << 20, 'page'), 'empty.img': Buffer.alloc(0) });
    const [near, far] = way();
    const seen: number[] = [];
    const [sent, received] = await Promise.all([
      sendState(from, near, { level: plainLevel, onProgress: ({ bytes }) => seen.push(bytes) }),
      receiveState(far, to, limit, { isPlain: true }),
    ]);
    expect(sent.wireBytes).toBeGreaterThan(2 << 20);
    expect(received).toEqual({ stateBytes: 2 << 20, intact: true });
    expect(seen.at(-1)).toBe(2 << 20);
    expect(seen).toEqual([...seen].sort((left, right) => left - right));
  });

  it('larger than memory should ever hold passes in bounded memory', async () => {
    const piece = randomBytes(1 << 20);
    const file = openSync(join(from, 'pages-1.img'), 'w');
    for (let written = 0; written < 160; written += 1) writeSync(file, piece);
    closeSync(file);
    const [near, far] = way();
    let most = 0;
    const before = process.memoryUsage().rss;
    const watch = () => {
      most = Math.max(most, process.memoryUsage().rss - before);
    };
    const [, received] = await Promise.all([
      sendState(from, near, { level: plainLevel, onProgress: watch }),
      receiveState(far, to, 512 << 20, { isPlain: true }),
    ]);
    expect(received).toEqual({ stateBytes: 160 << 20, intact: true });
    expect(most).toBeLessThan(100 << 20);
  }, 60_000);

  it('of many small files goes as well, and of none', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 500 }, (_, index) => [`core-${index}.img`, randomBytes(index)]),
    );
    fill(files);
    const [near, far] = way();
    const [, received] = await Promise.all([sendState(from, near), receiveState(far, to, limit)]);
    expect(received.intact).toBe(true);
    expect(Object.keys(arrived())).toHaveLength(500);
    rmSync(from, { recursive: true });
    mkdirSync(from);
    const [nearAgain, farAgain] = way();
    const [nothing] = await Promise.all([
      sendState(from, nearAgain),
      receiveState(farAgain, join(home, 'none'), limit),
    ]);
    expect(nothing.stateBytes).toBe(0);
  });

  it('that was sent ahead travels as numbers of pages, and only what changed as it is', async () => {
    const ahead = join(home, 'ahead');
    mkdirSync(ahead);
    const memory = randomBytes(2 << 20);
    writeFileSync(join(ahead, 'memory'), memory);
    const changed = Buffer.from(memory);
    randomBytes(4096).copy(changed, 40 * 4096);
    fill({ 'pages-1.img': changed, 'core-1.img': Buffer.from('core') });
    const index = await PageIndex.of(ahead, new AbortController().signal);
    const [near, far] = way();
    const [sent, received] = await Promise.all([
      sendState(from, near, { index }),
      receiveState(far, to, limit, { base: readBase(ahead) }),
    ]);
    expect(received).toEqual({ stateBytes: (2 << 20) + 4, intact: true });
    expect(readFileSync(join(to, 'pages-1.img')).equals(changed)).toBe(true);
    expect(sent.wireBytes).toBeGreaterThan(4096);
    expect(sent.wireBytes).toBeLessThan(6000);
    const [nearAgain, farAgain] = way();
    const sending = sendState(from, nearAgain, { index }).catch(() => undefined);
    await expect(receiveState(farAgain, join(home, 'without'), limit)).rejects.toMatchObject({
      code: 'STATE_RECEIVE_FAILED',
    });
    nearAgain.destroy();
    await sending;
  });

  it.each([
    ['in the middle', (size: number) => size >> 1],
    ['in the checksum', (size: number) => size - 20],
    ['in the length', (size: number) => size - 1],
  ])('with a bit turned %s is not taken for intact', async (_where, place) => {
    fill({ 'pages-1.img': randomBytes(1 << 20) });
    const [measured, end] = way();
    const [{ wireBytes }] = await Promise.all([
      sendState(from, measured),
      receiveState(end, join(home, 'first'), limit),
    ]);
    const at = place(wireBytes);
    const [near, far] = way((chunk, offset) => {
      if (at < offset || at >= offset + chunk.length) return chunk;
      const spoiled = Buffer.from(chunk);
      spoiled[at - offset]! ^= 1;
      return spoiled;
    });
    const sending = sendState(from, near).then(
      () => 'ok',
      (thrown) => thrown.code as string,
    );
    const received = await receiveState(far, to, limit).catch((thrown) => {
      far.destroy();
      expect(thrown).toMatchObject({ code: 'STATE_RECEIVE_FAILED' });
      return { intact: false };
    });
    expect(received.intact).toBe(false);
    near.destroy();
    expect(['STATE_DAMAGED', 'STATE_SEND_FAILED']).toContain(await sending);
  });

  it('that is cut off is not taken for intact, and the sender hears of it', async () => {
    fill({ 'pages-1.img': randomBytes(4 << 20) });
    const [near, far] = way((chunk, offset) => {
      if (offset > 1 << 20) near.destroy();
      return chunk;
    });
    const sending = expect(sendState(from, near)).rejects.toMatchObject({ code: 'STATE_SEND_FAILED' });
    const receiving = receiveState(far, to, limit).then(
      ({ intact }) => intact,
      () => false,
    );
    await sending;
    far.destroy();
    expect(await receiving).toBe(false);
  });

  it('larger than there is room for is refused before anything is written', async () => {
    fill({ 'pages-1.img': Buffer.alloc(2 << 20) });
    const [near, far] = way();
    const sending = sendState(from, near).catch(() => undefined);
    await expect(receiveState(far, to, 1 << 20)).rejects.toMatchObject({ code: 'STATE_TOO_LARGE' });
    expect(readdirSync(to)).toEqual([]);
    near.destroy();
    await sending;
  });

  it.each([
    ['leads out of the directory', [{ name: '../outside', bytes: 3 }]],
    ['is hidden behind a slash', [{ name: 'a/b', bytes: 3 }]],
    ['is the directory itself', [{ name: '..', bytes: 3 }]],
    [
      'comes twice',
      [
        { name: 'a', bytes: 1 },
        { name: 'a', bytes: 2 },
      ],
    ],
    ['is less than what comes', [{ name: 'a', bytes: 2 }]],
  ])('with a name that %s is refused', async (_title, list) => {
    const text = Buffer.from(JSON.stringify(list));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(text.length);
    const wire = zstdCompressSync(
      Buffer.concat([length, text, ...encodeRuns(Buffer.from('abc'), undefined)]),
      {
        params: { [constants.ZSTD_c_checksumFlag]: 1 },
      },
    );
    const [near, far] = way();
    near.on('error', () => undefined);
    near.end(Buffer.concat([wire, Buffer.alloc(40)]));
    await expect(receiveState(far, to, limit)).rejects.toMatchObject({ code: 'STATE_RECEIVE_FAILED' });
    expect(readdirSync(home).sort()).toEqual(['from', 'to']);
  });

  it('is made of plain files only', async () => {
    symlinkSync('/etc/passwd', join(from, 'link'));
    const [near] = way();
    near.on('error', () => undefined);
    await expect(sendState(from, near)).rejects.toMatchObject({ code: 'STATE_SEND_FAILED' });
  });
});
