import { plain } from '../../core/credentials/human-test/letter-image.ts';
import { priceTag } from '../../core/credentials/human-test/price-tag.ts';
import { soundChoices } from '../../core/credentials/human-test/sound-row.ts';
import { MoveError } from '../../core/runtime/errors.ts';
import { seededRandom } from '../../core/runtime/random.ts';
import { listen } from './human-test/listener.ts';
import { guessRate, readWords } from './human-test/read-words.ts';
import { tesseractVersion } from './human-test/tesseract.ts';

/** The most that a stock OCR may solve. */
const bar = 0.02;
/** How much of the same letters without hindrances it must read, so that a low figure means something. */
const controlBar = 0.5;

/** Assumed, not measured: no study was made with people. */
const person = {
  image: { secondsPerTest: 10, rightShare: 0.85 },
  sound: { secondsPerTest: 20, rightShare: 0.85 },
};

/**
 * Lets tesseract read images of the human test, raw and prepared, and a nearest-neighbour listener hear its sounds.
 * Options: `--images N` (500), `--seed N` (1), `--sounds N` (200). `passed` is false when all methods together solve
 * more than 2% of the images, or when tesseract cannot even read the same letters without hindrances.
 * @throws MoveError `PROGRAM_MISSING` without tesseract, `BENCH_ARGUMENT`.
 */
export async function run(words: string[]): Promise<{ passed: boolean } & Record<string, unknown>> {
  const { images, seed, sounds } = numbersOf(words);
  const tesseract = await tesseractVersion();
  if (tesseract === null)
    throw new MoveError(
      'PROGRAM_MISSING',
      'tesseract is not installed. Install it with "apt-get install tesseract-ocr" and run this again.',
    );
  const control = await readWords(seed, Math.min(images, 50), { style: plain, methods: ['raw'] });
  const reading = await readWords(seed, images);
  const heard = listen(seededRandom(seed), { rows: sounds, examples: sounds });
  const cheapest = Math.min(...reading.methods.map(({ msPerImage }) => msPerImage));
  return {
    bench: 'human-test',
    tesseract,
    bar,
    passed: reading.solvedByAnyRate <= bar && control.solvedByAnyRate >= controlBar,
    image: { ...reading, guessRate },
    control: { images: control.images, solvedRate: control.solvedByAnyRate, atLeast: controlBar },
    sound: {
      ...heard,
      solvedRate: heard.solved / heard.tried,
      guessRate: 1 / (soundChoices.length * (soundChoices.length - 1) * (soundChoices.length - 2)),
    },
    price: {
      image: priceTag({ tried: images, solved: reading.solvedByAny, processorMs: cheapest }, person.image),
      sound: priceTag({ ...heard, processorMs: heard.msPerRow }, person.sound, { kind: 'sound' }),
      personIsAssumed: true,
    },
  };
}

/** The options, each a whole number of at least 1. */
function numbersOf(words: string[]): { images: number; seed: number; sounds: number } {
  const numbers = { images: 500, seed: 1, sounds: 200 };
  for (let at = 0; at < words.length; at += 2) {
    const name = words[at]!.slice(2);
    const value = words[at + 1] ?? '';
    if (!words[at]!.startsWith('--') || !Object.hasOwn(numbers, name) || !/^[1-9]\d{0,5}$/.test(value))
      throw new MoveError(
        'BENCH_ARGUMENT',
        `Do not know "${words[at]} ${value}". Options: --images N, --seed N, --sounds N, whole numbers from 1 on.`,
      );
    numbers[name as keyof typeof numbers] = Number(value);
  }
  return numbers;
}
