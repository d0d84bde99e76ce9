import { type PageIndex, pageBytes } from './page-base.ts';

/**
 * The contents of files on the wire: runs of bytes, and runs of pages that the other side has already. A run
 * begins with two 32-bit numbers, big-endian: a page's number in the base and how many pages, or all ones and how
 * many bytes follow.
 */

const literal = 0xffffffff;
export const runHeaderBytes = 8;

function header(first: number, length: number): Buffer {
  const bytes = Buffer.alloc(runHeaderBytes);
  bytes.writeUInt32BE(first, 0);
  bytes.writeUInt32BE(length, 4);
  return bytes;
}

/**
 * One block of a file as runs. Blocks begin at whole pages of their file; without an index, and in the rest behind
 * the last whole page, everything is literal.
 */
export function encodeRuns(block: Buffer, index: PageIndex | undefined): Buffer[] {
  const pieces: Buffer[] = [];
  let from = 0;
  const flush = (to: number) => {
    if (to > from) pieces.push(header(literal, to - from), block.subarray(from, to));
  };
  let first = 0;
  let count = 0;
  const flushCopy = () => {
    if (count > 0) pieces.push(header(first, count));
    count = 0;
  };
  for (let at = 0; index && at + pageBytes <= block.length; at += pageBytes) {
    const known = index.find(block.subarray(at, at + pageBytes));
    if (known === undefined) {
      flushCopy();
      continue;
    }
    flush(at);
    if (count > 0 && known !== first + count) flushCopy();
    if (count === 0) first = known;
    count += 1;
    from = at + pageBytes;
  }
  flushCopy();
  flush(block.length);
  return pieces;
}

/** Undoes {@link encodeRuns} over chunks cut anywhere, handing out bytes in their order. */
export class RunDecoder {
  readonly #base: Buffer;
  readonly #put: (bytes: Buffer) => void;
  #head = Buffer.alloc(0);
  #literal = 0;

  constructor(base: Buffer, put: (bytes: Buffer) => void) {
    this.#base = base;
    this.#put = put;
  }

  /** Whether the last run has come whole. */
  get complete(): boolean {
    return this.#literal === 0 && this.#head.length === 0;
  }

  /** @throws Error when a run names a page that is not in the base. */
  push(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#literal > 0) {
        const part = rest.subarray(0, this.#literal);
        this.#literal -= part.length;
        rest = rest.subarray(part.length);
        this.#put(part);
        continue;
      }
      const missing = runHeaderBytes - this.#head.length;
      this.#head = Buffer.concat([this.#head, rest.subarray(0, missing)]);
      rest = rest.subarray(missing);
      if (this.#head.length < runHeaderBytes) return;
      const first = this.#head.readUInt32BE(0);
      const length = this.#head.readUInt32BE(4);
      this.#head = Buffer.alloc(0);
      if (first === literal) {
        this.#literal = length;
        continue;
      }
      const end = (first + length) * pageBytes;
      if (end > this.#base.length) throw new Error('a page is named that was never sent ahead');
      this.#put(this.#base.subarray(first * pageBytes, end));
    }
  }
}
