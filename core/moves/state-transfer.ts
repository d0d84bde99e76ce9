import { spawn } from 'node:child_process';
import { createHash, type Hash } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { type Duplex, Transform, type TransformCallback } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib';
import { MoveError } from '../runtime/errors.ts';

/**
 * How the state of a frozen pod travels: a tar of the checkpoint images and the pod's own files,
 * compressed by zstd in one window large enough to see what its processes have in common, followed by
 * the SHA-256 and the length of the uncompressed bytes.
 */

const trailerBytes = 40;
const compressionLevel = 3;
/** Every block costs a turn of the thread pool, so they are large. */
const blockBytes = 1 << 20;
/** 8 MiB: the images of one small service fit whole. */
const windowLog = 23;

export interface SentState {
  stateBytes: number;
  wireBytes: number;
}

export interface ReceivedState {
  stateBytes: number;
  /** Whether length and checksum were the sender's. */
  intact: boolean;
}

/** Gathers small pieces into blocks. */
class Gatherer extends Transform {
  #pieces: Buffer[] = [];
  #size = 0;
  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.#pieces.push(chunk);
    this.#size += chunk.length;
    if (this.#size >= blockBytes) this.#flush();
    done();
  }
  override _flush(done: TransformCallback): void {
    if (this.#size > 0) this.#flush();
    done();
  }
  #flush(): void {
    this.push(Buffer.concat(this.#pieces));
    this.#pieces = [];
    this.#size = 0;
  }
}

/** Counts and hashes what passes. */
class Meter extends Transform {
  bytes = 0;
  readonly hash: Hash | null;
  constructor(hashed: boolean) {
    super({ highWaterMark: 2 * blockBytes });
    this.hash = hashed ? createHash('sha256') : null;
  }
  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.bytes += chunk.length;
    this.hash?.update(chunk);
    done(null, chunk);
  }
}

/** Passes everything on but the last 40 bytes, which it keeps. */
class TrailerKeeper extends Transform {
  trailer = Buffer.alloc(0);
  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    const all = this.trailer.length > 0 ? Buffer.concat([this.trailer, chunk]) : chunk;
    const cut = Math.max(0, all.length - trailerBytes);
    this.trailer = Buffer.from(all.subarray(cut));
    done(null, cut > 0 ? all.subarray(0, cut) : undefined);
  }
}

/**
 * Sends directories, each under its own last name, and waits until the other side has unpacked them all.
 * @throws MoveError `STATE_SEND_FAILED`; the other side's error when it refuses.
 */
export async function sendState(
  directories: readonly string[],
  stream: Duplex,
  signal?: AbortSignal,
): Promise<SentState> {
  const args = [
    '--create',
    '--file=-',
    '--xattrs',
    '--xattrs-include=*',
    '--numeric-owner',
    '--warning=no-file-changed',
  ];
  for (const directory of directories) args.push('-C', dirname(directory), basename(directory));
  const tar = spawn('tar', args, { stdio: ['ignore', 'pipe', 'pipe'], ...(signal ? { signal } : {}) });
  const failed = programEnd(tar);
  const raw = new Meter(true);
  const wire = new Meter(false);
  const compress = createZstdCompress({
    chunkSize: blockBytes,
    params: {
      [constants.ZSTD_c_compressionLevel]: compressionLevel,
      [constants.ZSTD_c_windowLog]: windowLog,
    },
  });
  const confirmed = readConfirmation(stream);
  // Awaited last; a fault before that is told by the pipeline.
  confirmed.catch(() => undefined);
  await Promise.all([
    pipeline(tar.stdout, new Gatherer({ highWaterMark: blockBytes }), raw, compress, wire, stream, {
      end: false,
      ...(signal ? { signal } : {}),
    }),
    failed,
  ]);
  const trailer = Buffer.alloc(trailerBytes);
  raw.hash!.digest().copy(trailer);
  trailer.writeBigUInt64BE(BigInt(raw.bytes), 32);
  stream.end(trailer);
  await confirmed;
  return { stateBytes: raw.bytes, wireBytes: wire.bytes + trailerBytes };
}

/**
 * Unpacks what {@link sendState} sends below `into` (made if missing), then confirms.
 * @throws MoveError `STATE_RECEIVE_FAILED` when it cannot be unpacked.
 */
export async function receiveState(stream: Duplex, into: string, limitBytes: number): Promise<ReceivedState> {
  await mkdir(into, { recursive: true, mode: 0o700 });
  const tar = spawn(
    'tar',
    [
      '--extract',
      // Reads to the very end, where tar would else hang up before the last padding has come.
      '--ignore-zeros',
      '--file=-',
      '--preserve-permissions',
      '--xattrs',
      '--xattrs-include=*',
      '--numeric-owner',
      '-C',
      into,
    ],
    {
      stdio: ['pipe', 'ignore', 'pipe'],
    },
  );
  const finished = programEnd(tar);
  const keeper = new TrailerKeeper();
  const raw = new Meter(true);
  raw.on('data', () => {
    if (raw.bytes > limitBytes)
      raw.destroy(
        new MoveError(
          'STATE_TOO_LARGE',
          `The arriving state is larger than the ${limitBytes} bytes there is room for.`,
        ),
      );
  });
  const decompress = createZstdDecompress({
    chunkSize: blockBytes,
    params: { [constants.ZSTD_d_windowLogMax]: windowLog + 1 },
  });
  try {
    await Promise.all([pipeline(stream, keeper, decompress, raw, tar.stdin), finished]);
  } catch (thrown) {
    tar.kill('SIGKILL');
    if (thrown instanceof MoveError) throw thrown;
    throw new MoveError(
      'STATE_RECEIVE_FAILED',
      `The arriving state could not be unpacked: ${thrown instanceof Error ? thrown.message : String(thrown)}.`,
      {},
      thrown,
    );
  }
  const intact =
    keeper.trailer.length === trailerBytes &&
    raw.hash!.digest().equals(keeper.trailer.subarray(0, 32)) &&
    keeper.trailer.readBigUInt64BE(32) === BigInt(raw.bytes);
  stream.end('ok');
  return { stateBytes: raw.bytes, intact };
}

function programEnd(tar: import('node:child_process').ChildProcess): Promise<void> {
  let errors = '';
  tar.stderr?.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString('utf8')).slice(-2000);
  });
  return new Promise((resolve, reject) => {
    tar.on('error', reject);
    tar.on('close', (code) => {
      if (code === 0) resolve();
      else reject(new MoveError('STATE_SEND_FAILED', `tar ended with ${code}: ${errors.trim()}`));
    });
  });
}

function readConfirmation(stream: Duplex): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = '';
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    stream.once('error', reject);
    stream.once('end', () => {
      if (text === 'ok') resolve();
      else
        reject(new MoveError('STATE_SEND_FAILED', 'The target hung up before it had confirmed the state.'));
    });
    stream.once('close', () =>
      reject(new MoveError('STATE_SEND_FAILED', 'The way to the target broke while the state was on it.')),
    );
  });
}
