import { inflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  drawLetterImage,
  imageHeight,
  imageWidth,
  lettersInImage,
  plain,
} from '../../../../core/credentials/human-test/letter-image.ts';
import {
  canonicalLetters,
  letterShapes,
  letters,
  strokesOf,
} from '../../../../core/credentials/human-test/letters.ts';
import {
  drawSoundRow,
  soundChoices,
  soundsInRow,
} from '../../../../core/credentials/human-test/sound-row.ts';
import { sampleRate } from '../../../../core/credentials/human-test/wav.ts';
import { seededRandom } from '../../../../core/runtime/random.ts';

/** Colour numbers of an image, without the byte in front of each row. */
function colourNumbers(png: Buffer): number[] {
  const at = png.indexOf('IDAT', 0, 'latin1');
  const rows = inflateSync(png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4)));
  return Array.from(rows).filter((_, index) => index % (imageWidth + 1) !== 0);
}

describe('images of letters', () => {
  it('are the same for the same seed, and others for another one', () => {
    const [first, again, other] = [1, 1, 2].map((seed) => drawLetterImage(seededRandom(seed)));
    expect(again).toEqual(first);
    expect(other!.png.equals(first!.png)).toBe(false);
  });

  it('say words of letters that occur, each of which occurs', () => {
    const random = seededRandom(3);
    const words = Array.from({ length: 30 }, () => drawLetterImage(random, plain).word);
    for (const word of words) expect(word).toMatch(new RegExp(`^[${letters.join('')}]{${lettersInImage}}$`));
    expect(new Set(words.join(''))).toEqual(new Set(letters));
  });

  it('have dark and light on both sides of every threshold, letters as well as paper', () => {
    const random = seededRandom(5);
    for (let image = 0; image < 6; image += 1) {
      const dark = colourNumbers(drawLetterImage(random).png).filter((colour) => colour < 128).length;
      const share = dark / (imageWidth * imageHeight);
      expect(share).toBeGreaterThan(0.2);
      expect(share).toBeLessThan(0.85);
    }
  });

  it('keep all of a word on the paper', () => {
    const random = seededRandom(6);
    for (let image = 0; image < 15; image += 1) {
      const numbers = colourNumbers(
        drawLetterImage(random, { ...plain, tilt: 0.15, overlap: 2, waves: 1 }).png,
      );
      const inkAtEdge = numbers.filter((colour, at) => {
        const [x, y] = [at % imageWidth, Math.floor(at / imageWidth)];
        return colour < 100 && (x === 0 || y === 0 || x === imageWidth - 1 || y === imageHeight - 1);
      });
      expect(inkAtEdge).toEqual([]);
    }
  });
});

describe('the letters', () => {
  it('are drawn in at least two shapes each, within their box', () => {
    for (const [letter, shapes] of Object.entries(letterShapes)) {
      expect(shapes.length, letter).toBeGreaterThanOrEqual(2);
      for (const { x, y } of shapes.flatMap((shape) => strokesOf(shape)).flat()) {
        expect(x).toBeGreaterThan(-12);
        expect(x).toBeLessThan(112);
        expect(y).toBeGreaterThan(-12);
        expect(y).toBeLessThan(116);
      }
    }
  });

  it('stay themselves when an answer is brought into one form', () => {
    for (const letter of letters) expect(canonicalLetters(letter.toLowerCase())).toBe(letter);
    expect(canonicalLetters(' 5-f c ')).toBe('SEG');
  });
});

describe('rows of sounds', () => {
  it('are the same for the same seed, and never the same for another one', () => {
    const [first, again, other] = [1, 1, 2].map((seed) => drawSoundRow(seededRandom(seed)));
    expect(again).toEqual(first);
    expect(other!.wav.equals(first!.wav)).toBe(false);
  });

  it('are three different ones out of the choices, and each of these occurs', () => {
    const random = seededRandom(7);
    const rows = Array.from({ length: 24 }, () => drawSoundRow(random).heard);
    for (const heard of rows) expect(new Set(heard).size).toBe(soundsInRow);
    expect(new Set(rows.flat())).toEqual(new Set(soundChoices));
    expect(soundChoices.join('')).not.toContain(',');
  });

  it('are heard: WAV of 7 to 12 s, neither silent nor cut off, each sound about as loud', () => {
    const random = seededRandom(8);
    for (let row = 0; row < 6; row += 1) {
      const { wav } = drawSoundRow(random);
      expect(wav.readUInt32LE(4)).toBe(wav.length - 8);
      expect(wav.readUInt32LE(40)).toBe(wav.length - 44);
      const samples = Array.from(wav.subarray(44), (value) => (value - 128) / 127);
      const seconds = samples.length / sampleRate;
      expect(seconds).toBeGreaterThan(7);
      expect(seconds).toBeLessThan(12);
      expect(samples.filter((value) => Math.abs(value) > 0.995).length / samples.length).toBeLessThan(0.005);
      const third = Math.floor(samples.length / 3);
      for (const start of [0, third, 2 * third]) {
        const part = samples.slice(start, start + third);
        expect(Math.max(...part.map(Math.abs))).toBeGreaterThan(0.25);
      }
    }
  });
});
