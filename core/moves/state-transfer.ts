import { createHash, type Hash } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readdirSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Duplex, Readable, Transform, type TransformCallback, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib';
import { z } from 'zod';
import { MoveError } from '../runtime/errors.ts';
import { plainLevel, unmeasuredLevel } from './compression-choice.ts';
import { type PageIndex, readFully } from './page-base.ts';
import { encodeRuns, RunDecoder } from './state-runs.ts';

/**
 * How the state of a frozen pod travels: a list of the files of its checkpoint, then their contents one after
 * another as runs of bytes and of pages that were sent ahead, all of it compressed by zstd (RFC 8878) in one window
 * large enough to see what its processes have in common, or as it is where the link is faster than that; behind it the SHA-256 of the compressed bytes and the
 * length of the uncompressed files. People wait while this runs, so no other program takes part: on a machine
 * that is flooded, a tar on either side cost a fifth of a second for 10 MB.
 */

const trailerBytes = 40;
/** Every block costs a turn of the thread pool, so they are large. */
const blockBytes = 1 << 20;
/** 8 MiB: the images of one small service fit whole. What changed since its pages were sent ahead fits into 2 MiB. */
const windowLog = 23;
const windowLogOnAdvance = 21;
const listBytesAtMost = 4 << 20;
const filesAtMost = 65_536;

const listSchema = z
  .array(z.object({ name: z.string().regex(/^[^/\0]{1,255}$/), bytes: z.number().int().nonnegative() }))
  .max(filesAtMost);
type List = z.infer<typeof listSchema>;

export interface SentState {
  stateBytes: number;
  wireBytes: number;
}

/** How far a state has come on its way. */
export interface StateProgress {
  /** Bytes of its files that are on their way or there. */
  bytes: number;
  totalBytes: number;
  wireBytes: number;
}

export interface SendStateOptions {
  signal?: AbortSignal;
  index?: PageIndex | undefined;
  /** Of zstd; `plainLevel` sends it as it is, which the other side has to be told. */
  level?: number;
  /** Called for every piece that goes. */
  onProgress?: (progress: StateProgress) => void;
}

export interface ReceivedState {
  stateBytes: number;
  /** Whether length and checksum were the sender's. */
  intact: boolean;
}

/** Counts and hashes what passes. */
class Meter extends Transform {
  bytes = 0;
  readonly #onBytes: (bytes: number) => void;

  constructor(onBytes: (bytes: number) => void) {
    super();
    this.#onBytes = onBytes;
  }

  readonly hash: Hash = createHash('sha256');
  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.bytes += chunk.length;
    this.hash.update(chunk);
    this.#onBytes(this.bytes);
    done(null, chunk);
  }
}

/** Passes everything on but the last 40 bytes, which it keeps; hashes what it passes. */
class TrailerKeeper extends Transform {
  trailer = Buffer.alloc(0);
  readonly hash: Hash = createHash('sha256');
  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    const all = this.trailer.length > 0 ? Buffer.concat([this.trailer, chunk]) : chunk;
    const cut = Math.max(0, all.length - trailerBytes);
    this.trailer = Buffer.from(all.subarray(cut));
    const passed = all.subarray(0, cut);
    this.hash.update(passed);
    done(null, cut > 0 ? passed : undefined);
  }
}

/** Gathers small pieces into chunks of about a block, each in memory of its own. */
class ChunkWriter {
  #chunk = Buffer.allocUnsafe(blockBytes);
  #filled = 0;

  /** Copies a piece; what is full is yielded. */
  *add(piece: Buffer): Generator<Buffer> {
    for (let rest = piece; rest.length > 0; ) {
      const copied = rest.copy(this.#chunk, this.#filled);
      this.#filled += copied;
      rest = rest.subarray(copied);
      if (this.#filled === blockBytes) yield this.take();
    }
  }

  take(): Buffer {
    const chunk = this.#chunk.subarray(0, this.#filled);
    this.#chunk = Buffer.allocUnsafe(blockBytes);
    this.#filled = 0;
    return chunk;
  }
}

/**
 * Reads the list and the files in blocks. The reads are not asynchronous: checkpoints stand in memory (a tmpfs),
 * where a turn of the thread pool for each of some hundred small files costs more than all of the reading. All of
 * them are read into the same memory: with new memory for each, V8 would collect its heap while the pod is frozen.
 */
function* blocks(
  directory: string,
  list: List,
  index: PageIndex | undefined,
  read: (bytes: number) => void,
): Generator<Buffer> {
  const text = Buffer.from(JSON.stringify(list));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  const chunks = new ChunkWriter();
  yield* chunks.add(length);
  yield* chunks.add(text);
  const memory = Buffer.allocUnsafe(blockBytes);
  for (const { name, bytes } of list) {
    const file = openSync(join(directory, name), 'r');
    try {
      for (let done = 0; done < bytes; done += blockBytes) {
        const block = memory.subarray(0, Math.min(blockBytes, bytes - done));
        readFully(file, block, done);
        read(block.length);
        for (const piece of encodeRuns(block, index)) yield* chunks.add(piece);
      }
    } finally {
      closeSync(file);
    }
  }
  yield chunks.take();
}

/**
 * Sends the files that stand directly in `directory`, and waits until the other side has written them all. Of the
 * pages in `index`, which the other side must have as its base, only the numbers travel.
 * @throws MoveError `STATE_SEND_FAILED`, `STATE_DAMAGED` when it did not arrive as it was sent; the other side's
 * error when it refuses.
 */
export async function sendState(
  directory: string,
  stream: Duplex,
  options: SendStateOptions = {},
): Promise<SentState> {
  const { signal, index, level = unmeasuredLevel, onProgress } = options;
  const confirmed = readConfirmation(stream);
  // Awaited last; a fault before that is told by the pipeline.
  confirmed.catch(() => undefined);
  let stateBytes = 0;
  let bytes = 0;
  const wire = new Meter((wireBytes) => onProgress?.({ bytes, totalBytes: stateBytes, wireBytes }));
  const zstd = () =>
    createZstdCompress({
      chunkSize: blockBytes,
      params: {
        [constants.ZSTD_c_compressionLevel]: level,
        [constants.ZSTD_c_windowLog]: index ? windowLogOnAdvance : windowLog,
        [constants.ZSTD_c_checksumFlag]: 1,
      },
    });
  try {
    const list = readdirSync(directory, { withFileTypes: true }).map((entry) => {
      if (!entry.isFile()) throw new Error(`${entry.name} is not a file`);
      return { name: entry.name, bytes: statSync(join(directory, entry.name)).size };
    });
    stateBytes = list.reduce((sum, file) => sum + file.bytes, 0);
    const read = (more: number) => {
      bytes += more;
    };
    const source = Readable.from(blocks(directory, list, index, read), {
      objectMode: false,
      highWaterMark: 1,
    });
    const going = { end: false, ...(signal ? { signal } : {}) };
    if (level === plainLevel) await pipeline(source, wire, stream, going);
    else await pipeline(source, zstd(), wire, stream, going);
  } catch (thrown) {
    if (thrown instanceof MoveError) throw thrown;
    throw new MoveError(
      'STATE_SEND_FAILED',
      `The state could not be sent: ${thrown instanceof Error ? thrown.message : String(thrown)}.`,
      {},
      thrown,
    );
  }
  const trailer = Buffer.alloc(trailerBytes);
  wire.hash.digest().copy(trailer);
  trailer.writeBigUInt64BE(BigInt(stateBytes), 32);
  stream.end(trailer);
  await confirmed;
  return { stateBytes, wireBytes: wire.bytes + trailerBytes };
}

/** Writes the files of a list as their contents come. */
class StateWriter extends Writable {
  readonly #directory: string;
  readonly #limitBytes: number;
  readonly #runs: RunDecoder;
  #list: List | null = null;
  #head = Buffer.alloc(0);
  #next = 0;
  #left = 0;
  #file: number | null = null;
  stateBytes = 0;

  constructor(directory: string, limitBytes: number, base: Buffer) {
    super({ highWaterMark: 2 * blockBytes });
    this.#directory = directory;
    this.#limitBytes = limitBytes;
    this.#runs = new RunDecoder(base, (bytes) => this.#put(bytes));
  }

  /** Whether every file of the list has all of its bytes. */
  get complete(): boolean {
    return (
      this.#list !== null && this.#next === this.#list.length && this.#file === null && this.#runs.complete
    );
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    try {
      this.#take(chunk);
      done();
    } catch (thrown) {
      done(thrown as Error);
    }
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
    done(error);
  }

  #take(chunk: Buffer): void {
    let rest = chunk;
    if (this.#list === null) {
      this.#head = Buffer.concat([this.#head, chunk]);
      if (this.#head.length < 4) return;
      const end = 4 + this.#head.readUInt32BE(0);
      if (end > listBytesAtMost) throw new Error('the list of its files is too long');
      if (this.#head.length < end) return;
      this.#list = listSchema.parse(JSON.parse(this.#head.toString('utf8', 4, end)));
      const total = this.#list.reduce((sum, file) => sum + file.bytes, 0);
      if (total > this.#limitBytes)
        throw new MoveError(
          'STATE_TOO_LARGE',
          `The arriving state is larger than the ${this.#limitBytes} bytes there is room for.`,
          { bytes: total },
        );
      rest = this.#head.subarray(end);
      this.#open();
    }
    this.#runs.push(rest);
  }

  #put(bytes: Buffer): void {
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#file === null) throw new Error('more came than its list says');
      const written = writeSync(this.#file, rest, 0, Math.min(rest.length, this.#left));
      rest = rest.subarray(written);
      this.#left -= written;
      this.stateBytes += written;
      if (this.#left === 0) this.#open();
    }
  }

  /** Closes the file that is full and opens the next that is not empty. */
  #open(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
    while (this.#left === 0) {
      const file = this.#list?.[this.#next];
      if (file === undefined) return;
      this.#next += 1;
      this.#left = file.bytes;
      // 'wx': a name that comes twice is refused, and nothing that stands there is followed or overwritten.
      this.#file = openSync(join(this.#directory, file.name), 'wx', 0o600);
      if (this.#left > 0) return;
      closeSync(this.#file);
      this.#file = null;
    }
  }
}

/**
 * Writes what {@link sendState} sends into `directory` (made if missing), then tells the sender whether it is
 * intact. `base` is what its index was made of; `isPlain` says that it was not compressed.
 * @throws MoveError `STATE_RECEIVE_FAILED` when it cannot be unpacked, `STATE_TOO_LARGE` above `limitBytes`.
 */
export async function receiveState(
  stream: Duplex,
  directory: string,
  limitBytes: number,
  options: { base?: Buffer; isPlain?: boolean } = {},
): Promise<ReceivedState> {
  const { base = Buffer.alloc(0), isPlain = false } = options;
  const keeper = new TrailerKeeper();
  const writer = new StateWriter(directory, limitBytes, base);
  const zstd = () =>
    createZstdDecompress({
      chunkSize: blockBytes,
      params: { [constants.ZSTD_d_windowLogMax]: windowLog + 1 },
    });
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    if (isPlain) await pipeline(stream, keeper, writer);
    else await pipeline(stream, keeper, zstd(), writer);
  } catch (thrown) {
    if (thrown instanceof MoveError) throw thrown;
    throw new MoveError(
      'STATE_RECEIVE_FAILED',
      `The arriving state could not be unpacked: ${thrown instanceof Error ? thrown.message : String(thrown)}.`,
      {},
      thrown,
    );
  }
  const intact =
    writer.complete &&
    keeper.trailer.length === trailerBytes &&
    keeper.hash.digest().equals(keeper.trailer.subarray(0, 32)) &&
    keeper.trailer.readBigUInt64BE(32) === BigInt(writer.stateBytes);
  stream.end(intact ? 'ok' : 'damaged');
  return { stateBytes: writer.stateBytes, intact };
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
      else if (text === 'damaged')
        reject(new MoveError('STATE_DAMAGED', 'The state that arrived is not the one that was sent.'));
      else
        reject(new MoveError('STATE_SEND_FAILED', 'The target hung up before it had confirmed the state.'));
    });
    stream.once('close', () =>
      reject(new MoveError('STATE_SEND_FAILED', 'The way to the target broke while the state was on it.')),
    );
  });
}
