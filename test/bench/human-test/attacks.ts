import { lettersInImage } from '../../../core/credentials/human-test/letter-image.ts';
import {
  type GreyPicture,
  greyFromPng,
  inverted,
  locallyThresholded,
  median,
  opened,
  strokesOf,
  thresholded,
  toPgm,
} from './grey-picture.ts';
import { lettersOf } from './segments.ts';
import { type PageMode, readAll } from './tesseract.ts';

/** A way to make OCR read the letters: every reading that it gets of each image. */
interface Attack {
  name: string;
  read(images: readonly Buffer[]): Promise<string[][]>;
}

const whole: readonly PageMode[] = [7, 8];

/** Half as wide as the pen at its widest and a little more: what is thinner is a stroke. */
const penReach = 5;

export const attacks: readonly Attack[] = [
  { name: 'raw', read: (images) => readEach(images, [(png) => png]) },
  { name: 'threshold', read: (images) => readEach(images, bothPolarities(thresholded)) },
  {
    name: 'local-threshold',
    read: (images) =>
      readEach(
        images,
        bothPolarities((picture) => locallyThresholded(median(picture, 1), 14)),
      ),
  },
  {
    name: 'denoise',
    read: (images) =>
      readEach(
        images,
        bothPolarities((picture) => thresholded(opened(median(picture, 2), 1))),
      ),
  },
  { name: 'strokes', read: (images) => readEach(images, [(png) => toPgm(strokePicture(png))]) },
  {
    name: 'segments',
    read: (images) => readSegments(images, (png) => thresholded(opened(median(greyFromPng(png), 2), 1))),
  },
  { name: 'stroke-segments', read: (images) => readSegments(images, strokePicture) },
];

/** Black where a stroke is, after denoising, whichever of the two polarities it has. */
function strokePicture(png: Buffer): GreyPicture {
  return thresholded(strokesOf(median(greyFromPng(png), 1), penReach));
}

function bothPolarities(prepare: (picture: GreyPicture) => GreyPicture): ((png: Buffer) => Buffer)[] {
  return [(png) => toPgm(prepare(greyFromPng(png))), (png) => toPgm(inverted(prepare(greyFromPng(png))))];
}

async function readEach(
  images: readonly Buffer[],
  preparations: readonly ((png: Buffer) => Buffer)[],
): Promise<string[][]> {
  const readings: string[][] = images.map(() => []);
  for (const prepare of preparations) {
    const prepared = images.map(prepare);
    for (const mode of whole)
      for (const [index, text] of (await readAll(prepared, mode)).entries()) readings[index]!.push(text);
  }
  return readings;
}

async function readSegments(
  images: readonly Buffer[],
  prepare: (png: Buffer) => GreyPicture,
): Promise<string[][]> {
  const segments = images.flatMap((png) => lettersOf(prepare(png), lettersInImage).map(toPgm));
  const read = await readAll(segments, 10);
  return images.map((_, index) => [
    read
      .slice(index * lettersInImage, (index + 1) * lettersInImage)
      .map((text) => text.slice(0, 1))
      .join(''),
  ]);
}
