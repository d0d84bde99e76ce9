import {
  drawLetterImage,
  gimpy,
  type LetterStyle,
  lettersInImage,
} from '../../../core/credentials/human-test/letter-image.ts';
import { canonicalLetters, letters } from '../../../core/credentials/human-test/letters.ts';
import { seededRandom } from '../../../core/runtime/random.ts';
import { attacks, loot } from './attacks.ts';

/** What one way of reading made of the images. */
export interface AttackResult {
  method: string;
  solved: number;
  solvedRate: number;
  /** The share of letters that stood right in the first reading; by chance it is one in {@link letters}. */
  lettersRight: number;
  /** By the clock, on the machine as it was. */
  msPerImage: number;
}

/** What OCR made of `images` seeded images. */
export interface ReadingResult {
  images: number;
  seed: number;
  /** Processor time. */
  drawMsPerImage: number;
  bytesPerImage: number;
  methods: AttackResult[];
  solvedByAny: number;
  solvedByAnyRate: number;
}

/** Draws images and lets the attackers read them, all or those that are named; an image is solved if any reading of it is right. */
export async function readWords(
  seed: number,
  images: number,
  options: { style?: LetterStyle; methods?: readonly string[] } = {},
): Promise<ReadingResult> {
  const random = seededRandom(seed);
  const style = options.style ?? gimpy;
  drawLetterImage(seededRandom(seed), style);
  const before = process.cpuUsage();
  const drawn = Array.from({ length: images }, () => drawLetterImage(random, style));
  const { user, system } = process.cpuUsage(before);
  const pictures = loot(drawn.map(({ png }) => png));
  const words = drawn.map(({ word }) => canonicalLetters(word));
  const solvedByAny = new Set<number>();
  const methods: AttackResult[] = [];
  for (const { name, read } of attacks) {
    if (options.methods && !options.methods.includes(name)) continue;
    const start = performance.now();
    const readings = (await read(pictures)).map((texts) => texts.map(canonicalLetters));
    const ms = performance.now() - start;
    const solved = words.flatMap((word, index) => (readings[index]!.includes(word) ? [index] : []));
    for (const index of solved) solvedByAny.add(index);
    const right = words.reduce((sum, word, index) => sum + lettersRight(word, readings[index]![0]!), 0);
    methods.push({
      method: name,
      solved: solved.length,
      solvedRate: round(solved.length / images),
      lettersRight: round(right / (images * lettersInImage)),
      msPerImage: round(ms / images),
    });
  }
  return {
    images,
    seed,
    drawMsPerImage: round((user + system) / 1000 / images),
    bytesPerImage: Math.round(pictures.reduce((sum, { png }) => sum + png.length, 0) / images),
    methods,
    solvedByAny: solvedByAny.size,
    solvedByAnyRate: round(solvedByAny.size / images),
  };
}

/** The chance that a guess without looking is right. */
export const guessRate = letters.length ** -lettersInImage;

function lettersRight(word: string, text: string): number {
  return Array.from(word).filter((letter, index) => text[index] === letter).length;
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
