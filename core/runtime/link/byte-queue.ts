const blockSize = 4096;
/** Pieces below this are copied together: a byte kept must not keep a whole network read alive. */
const smallPiece = 1024;

/**
 * A first-in first-out queue of bytes. Large pieces are kept as they are, small ones are gathered into
 * blocks, so that the memory held stays within a small factor of `length`. The caller bounds `length`.
 */
export class ByteQueue {
  #pieces: Buffer[] = [];
  #head = 0;
  #tailRoom = 0;
  #tailBlock: Buffer | undefined;
  #length = 0;

  /** Bytes held. */
  get length(): number {
    return this.#length;
  }

  push(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#length += piece.length;
    if (piece.length >= smallPiece) {
      this.#pieces.push(piece);
      this.#tailBlock = undefined;
      return;
    }
    if (this.#tailBlock && this.#tailRoom >= piece.length) {
      const used = blockSize - this.#tailRoom;
      piece.copy(this.#tailBlock, used);
      this.#tailRoom -= piece.length;
      const last = this.#pieces.length - 1;
      const start = this.#pieces[last]!.byteOffset - this.#tailBlock.byteOffset;
      this.#pieces[last] = this.#tailBlock.subarray(start, used + piece.length);
      return;
    }
    const block = Buffer.allocUnsafeSlow(blockSize);
    piece.copy(block, 0);
    this.#pieces.push(block.subarray(0, piece.length));
    this.#tailBlock = block;
    this.#tailRoom = blockSize - piece.length;
  }

  /** Takes the oldest bytes, at most `limit` of them and never across two pieces. */
  shift(limit: number): Buffer | undefined {
    const first = this.#pieces[this.#head];
    if (!first) return undefined;
    if (first.length > limit) {
      this.#pieces[this.#head] = first.subarray(limit);
      this.#length -= limit;
      return first.subarray(0, limit);
    }
    this.#length -= first.length;
    this.#dropHead();
    return first;
  }

  /** Forgets the oldest `count` bytes. */
  discard(count: number): void {
    let left = Math.min(count, this.#length);
    while (left > 0) left -= this.shift(left)!.length;
  }

  /** The bytes from `offset` on, at most `limit` and never across two pieces; they stay in the queue. */
  peek(offset: number, limit: number): Buffer | undefined {
    let skip = offset;
    for (let index = this.#head; index < this.#pieces.length; index += 1) {
      const piece = this.#pieces[index]!;
      if (skip < piece.length) return piece.subarray(skip, Math.min(piece.length, skip + limit));
      skip -= piece.length;
    }
    return undefined;
  }

  clear(): void {
    this.#pieces = [];
    this.#head = 0;
    this.#tailBlock = undefined;
    this.#length = 0;
  }

  #dropHead(): void {
    this.#head += 1;
    if (this.#head === this.#pieces.length) {
      this.clear();
    } else if (this.#head > 64) {
      this.#pieces.splice(0, this.#head);
      this.#head = 0;
    }
  }
}
