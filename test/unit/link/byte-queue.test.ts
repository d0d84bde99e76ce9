import { describe, expect, it } from 'vitest';
import { ByteQueue } from '../../../core/runtime/link/byte-queue.ts';
import { seededRandom } from '../../../core/runtime/random.ts';

describe('a byte queue', () => {
  for (const seed of [1, 2, 3]) {
    it(`keeps the bytes in order whatever the pieces (seed ${seed})`, () => {
      const random = seededRandom(seed);
      const queue = new ByteQueue();
      let model = Buffer.alloc(0) as Buffer;
      for (let step = 0; step < 3000; step += 1) {
        const choice = random.below(5);
        if (choice < 2) {
          const piece = random.bytes(random.below(choice === 0 ? 40 : 3000));
          queue.push(piece);
          model = Buffer.concat([model, piece]);
        } else if (choice === 2) {
          const piece = queue.shift(1 + random.below(2000));
          expect(piece?.equals(model.subarray(0, piece.length)) ?? model.length === 0).toBe(true);
          model = model.subarray(piece?.length ?? 0);
        } else if (choice === 3 && model.length > 0) {
          const offset = random.below(model.length);
          const piece = queue.peek(offset, 1 + random.below(2000))!;
          expect(piece.length).toBeGreaterThan(0);
          expect(piece.equals(model.subarray(offset, offset + piece.length))).toBe(true);
        } else {
          const count = random.below(500);
          queue.discard(count);
          model = model.subarray(Math.min(count, model.length));
        }
        expect(queue.length).toBe(model.length);
      }
    });
  }

  it('does not let a kept byte keep a large buffer', () => {
    const queue = new ByteQueue();
    for (let index = 0; index < 10_000; index += 1) queue.push(Buffer.alloc(65_536).subarray(5, 6));
    const held = new Set<ArrayBufferLike>();
    for (let piece = queue.shift(65_536); piece; piece = queue.shift(65_536)) held.add(piece.buffer);
    const bytes = [...held].reduce((sum, buffer) => sum + buffer.byteLength, 0);
    expect(bytes).toBeLessThan(3 * 4096 + 10_000);
  });
});
