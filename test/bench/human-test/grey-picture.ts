import { inflateSync } from 'node:zlib';

/** A picture in shades of grey, 0 black to 255 white, row by row. */
export interface GreyPicture {
  width: number;
  height: number;
  pixels: Uint8Array;
}

/** Reads a PNG as the human test writes it: 8 bits, RGB or palette, unfiltered. */
export function greyFromPng(png: Buffer): GreyPicture {
  let palette: Buffer = Buffer.alloc(0);
  const data: Buffer[] = [];
  for (let at = 8; at < png.length; ) {
    const length = png.readUInt32BE(at);
    const type = png.toString('latin1', at + 4, at + 8);
    const body = png.subarray(at + 8, at + 8 + length);
    if (type === 'PLTE') palette = body;
    if (type === 'IDAT') data.push(body);
    at += 12 + length;
  }
  const [width, height, colours] = [png.readUInt32BE(16), png.readUInt32BE(20), png[25]];
  const rows = inflateSync(Buffer.concat(data));
  const samples = colours === 3 ? 1 : 3;
  const pixels = new Uint8Array(width * height);
  for (let y = 0; y < height; y += 1)
    for (let x = 0; x < width; x += 1) {
      const at = y * (width * samples + 1) + 1 + x * samples;
      const [source, from] = colours === 3 ? [palette, rows[at]! * 3] : [rows, at];
      pixels[y * width + x] = 0.299 * source[from]! + 0.587 * source[from + 1]! + 0.114 * source[from + 2]!;
    }
  return { width, height, pixels };
}

/** A PGM (netpbm's grey map), which tesseract reads. */
export function toPgm({ width, height, pixels }: GreyPicture): Buffer {
  return Buffer.concat([Buffer.from(`P5\n${width} ${height}\n255\n`, 'latin1'), pixels]);
}

export function inverted(picture: GreyPicture): GreyPicture {
  return { ...picture, pixels: picture.pixels.map((value) => 255 - value) };
}

/** Black and white by Otsu's threshold. */
export function thresholded(picture: GreyPicture): GreyPicture {
  const level = otsu(picture.pixels);
  return { ...picture, pixels: picture.pixels.map((value) => (value > level ? 255 : 0)) };
}

function otsu(pixels: Uint8Array): number {
  const histogram = new Float64Array(256);
  for (const value of pixels) histogram[value]! += 1;
  const total = histogram.reduce((sum, count, value) => sum + count * value, 0);
  let [best, level, below, sumBelow] = [-1, 127, 0, 0];
  for (let value = 0; value < 256; value += 1) {
    below += histogram[value]!;
    sumBelow += value * histogram[value]!;
    const above = pixels.length - below;
    if (below === 0 || above === 0) continue;
    const between = below * above * (sumBelow / below - (total - sumBelow) / above) ** 2;
    if (between > best) [best, level] = [between, value];
  }
  return level;
}

/** The median of the square within `reach` around each pixel: removes grain, keeps edges. */
export function median(picture: GreyPicture, reach: number): GreyPicture {
  return mapped(picture, reach, (values) => values.sort()[values.length >> 1]!);
}

/** Morphological opening by a square: removes what is light and thinner than the square. */
export function opened(picture: GreyPicture, reach: number): GreyPicture {
  return dilated(eroded(picture, reach), reach);
}

/**
 * Black where a black-and-white picture differs from what prevails within `reach` around: finds strokes across
 * patches in which dark and light change places, as long as the patches are larger than the letters are dense.
 */
export function againstMajority(picture: GreyPicture, reach: number): GreyPicture {
  const prevailing = boxMean(picture, reach);
  const pixels = picture.pixels.map((value, at) => (value > 127 === prevailing[at]! > 127 ? 255 : 0));
  return { ...picture, pixels };
}

/** Black and white by the mean of the surroundings. */
export function locallyThresholded(picture: GreyPicture, reach: number): GreyPicture {
  const mean = boxMean(picture, reach);
  return { ...picture, pixels: picture.pixels.map((value, at) => (value > mean[at]! - 8 ? 255 : 0)) };
}

/** The mean of the square within `reach` around each pixel, from sums of all rectangles. */
function boxMean({ width, height, pixels }: GreyPicture, reach: number): Float64Array {
  const row = width + 1;
  const sums = new Float64Array(row * (height + 1));
  for (let y = 0; y < height; y += 1)
    for (let x = 0; x < width; x += 1) {
      const at = (y + 1) * row + x + 1;
      sums[at] = pixels[y * width + x]! + sums[at - 1]! + sums[at - row]! - sums[at - row - 1]!;
    }
  const out = new Float64Array(pixels.length);
  for (let y = 0; y < height; y += 1)
    for (let x = 0; x < width; x += 1) {
      const [left, right] = [Math.max(0, x - reach), Math.min(width, x + reach + 1)];
      const [top, bottom] = [Math.max(0, y - reach), Math.min(height, y + reach + 1)];
      const upper = sums[top * row + right]! - sums[top * row + left]!;
      const lower = sums[bottom * row + right]! - sums[bottom * row + left]!;
      out[y * width + x] = (lower - upper) / ((right - left) * (bottom - top));
    }
  return out;
}

function eroded(picture: GreyPicture, reach: number): GreyPicture {
  return separable(picture, reach, Math.min, 255);
}

function dilated(picture: GreyPicture, reach: number): GreyPicture {
  return separable(picture, reach, Math.max, 0);
}

function separable(
  { width, height, pixels }: GreyPicture,
  reach: number,
  join: (left: number, right: number) => number,
  start: number,
): GreyPicture {
  const across = new Uint8Array(pixels.length);
  const out = new Uint8Array(pixels.length);
  for (let y = 0; y < height; y += 1)
    for (let x = 0; x < width; x += 1) {
      let value = start;
      for (let step = Math.max(0, x - reach); step <= Math.min(width - 1, x + reach); step += 1)
        value = join(value, pixels[y * width + step]!);
      across[y * width + x] = value;
    }
  for (let y = 0; y < height; y += 1)
    for (let x = 0; x < width; x += 1) {
      let value = start;
      for (let step = Math.max(0, y - reach); step <= Math.min(height - 1, y + reach); step += 1)
        value = join(value, across[step * width + x]!);
      out[y * width + x] = value;
    }
  return { width, height, pixels: out };
}

function mapped(picture: GreyPicture, reach: number, join: (values: Uint8Array) => number): GreyPicture {
  const { width, height, pixels } = picture;
  const out = new Uint8Array(pixels.length);
  const side = 2 * reach + 1;
  const values = new Uint8Array(side * side);
  for (let y = 0; y < height; y += 1)
    for (let x = 0; x < width; x += 1) {
      let count = 0;
      for (let down = y - reach; down <= y + reach; down += 1)
        for (let right = x - reach; right <= x + reach; right += 1) {
          const row = Math.min(height - 1, Math.max(0, down));
          values[count++] = pixels[row * width + Math.min(width - 1, Math.max(0, right))]!;
        }
      out[y * width + x] = join(values);
    }
  return { ...picture, pixels: out };
}
