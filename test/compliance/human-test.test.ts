import { describe, expect, it } from 'vitest';
import { plain } from '../../core/credentials/human-test/letter-image.ts';
import { readWords } from '../bench/human-test/read-words.ts';
import { tesseractVersion } from '../bench/human-test/tesseract.ts';

const present = (await tesseractVersion()) !== null;

describe.skipIf(!present)('the human test before a stock OCR (needs tesseract)', () => {
  it('is not read: at most 2% of 40 images, raw, denoised, and letter by letter', {
    timeout: 180_000,
  }, async () => {
    const methods = ['raw', 'denoise', 'stroke-segments'];
    const { methods: results, solvedByAnyRate } = await readWords(20, 40, { methods });
    expect(results.map(({ method }) => method)).toEqual(methods);
    expect(solvedByAnyRate).toBeLessThanOrEqual(0.02);
  });

  it('is read without its hindrances, so that the figure means something', { timeout: 60_000 }, async () => {
    const { solvedByAnyRate } = await readWords(20, 12, { style: plain, methods: ['raw'] });
    expect(solvedByAnyRate).toBeGreaterThanOrEqual(0.5);
  });
});
