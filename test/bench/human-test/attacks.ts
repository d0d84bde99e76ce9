import { lettersInImage } from '../../../core/credentials/human-test/letter-image.ts';
import {
  againstMajority,
  type GreyPicture,
  greyFromPng,
  inverted,
  locallyThresholded,
  median,
  opened,
  thresholded,
  toPgm,
} from './grey-picture.ts';
import { lettersOf } from './segments.ts';
import { type PageMode, readAll } from './tesseract.ts';

/** An image and what an attacker makes of it, each once. */
class Loot {
  readonly png: Buffer;
  #denoised: GreyPicture | undefined;

  constructor(png: Buffer) {
    this.png = png;
  }

  get grey(): GreyPicture {
    return greyFromPng(this.png);
  }

  /** Without grain. */
  get denoised(): GreyPicture {
    this.#denoised ??= median(this.grey, 2);
    return this.#denoised;
  }

  /** Black and white, without grain and without what is thinner than a pen. */
  get opened(): GreyPicture {
    return thresholded(opened(this.denoised, 1));
  }

  /** Black where a stroke is, whichever of the two polarities it has. */
  get strokes(): GreyPicture {
    return againstMajority(thresholded(this.denoised), majorityReach);
  }
}

/** Pixels around which one looks for what prevails: about half of a letter's height. */
const majorityReach = 28;

/** A way to make OCR read the letters: every reading that it gets of each image. */
interface Attack {
  name: string;
  read(images: readonly Loot[]): Promise<string[][]>;
}

export const attacks: readonly Attack[] = [
  { name: 'raw', read: (images) => readEach(images, [({ png }) => png]) },
  { name: 'threshold', read: (images) => readBoth(images, ({ grey }) => thresholded(grey)) },
  {
    name: 'local-threshold',
    read: (images) => readBoth(images, ({ denoised }) => locallyThresholded(denoised, 14)),
  },
  { name: 'denoise', read: (images) => readBoth(images, (image) => image.opened) },
  { name: 'strokes', read: (images) => readEach(images, [(image) => toPgm(image.strokes)]) },
  { name: 'segments', read: (images) => readSegments(images, (image) => image.opened) },
  { name: 'stroke-segments', read: (images) => readSegments(images, (image) => image.strokes) },
];

/** Takes images as they are served. */
export function loot(images: readonly Buffer[]): Loot[] {
  return images.map((png) => new Loot(png));
}

/** As {@link readEach}, dark on light and light on dark. */
function readBoth(images: readonly Loot[], prepare: (image: Loot) => GreyPicture): Promise<string[][]> {
  return readEach(images, [(image) => toPgm(prepare(image)), (image) => toPgm(inverted(prepare(image)))]);
}

/** Reads every preparation of every image, once as a line and once as a word. */
async function readEach(
  images: readonly Loot[],
  preparations: readonly ((image: Loot) => Buffer)[],
): Promise<string[][]> {
  const modes: readonly PageMode[] = [7, 8];
  const readings: string[][] = images.map(() => []);
  for (const prepare of preparations) {
    const prepared = images.map(prepare);
    for (const mode of modes)
      for (const [index, text] of (await readAll(prepared, mode)).entries()) readings[index]!.push(text);
  }
  return readings;
}

/** Cuts every image into letters, and reads each by itself. */
async function readSegments(
  images: readonly Loot[],
  prepare: (image: Loot) => GreyPicture,
): Promise<string[][]> {
  const segments = images.flatMap((image) => lettersOf(prepare(image), lettersInImage).map(toPgm));
  const read = await readAll(segments, 10);
  return images.map((_, index) => [
    read
      .slice(index * lettersInImage, (index + 1) * lettersInImage)
      // a letter that was not read keeps its place
      .map((text) => text.slice(0, 1) || '?')
      .join(''),
  ]);
}
