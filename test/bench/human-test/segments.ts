import type { GreyPicture } from './grey-picture.ts';

/** Connected pieces of black that are smaller than this many pixels are dirt. */
const dirt = 60;

/**
 * Cuts a black-and-white picture into `count` letters: small connected components are dropped, the rest is cut
 * where the vertical projection is thinnest near the places where equal parts would end. Each letter gets a
 * white margin.
 */
export function lettersOf(picture: GreyPicture, count: number): GreyPicture[] {
  const clean = withoutDirt(picture);
  const columns = Array.from({ length: clean.width }, (_, x) => inkOf(clean, x));
  const first = Math.max(
    0,
    columns.findIndex((ink) => ink > 0),
  );
  const last = Math.max(
    first + count,
    columns.findLastIndex((ink) => ink > 0),
  );
  const step = (last - first) / count;
  const cuts = [first];
  for (let cut = 1; cut < count; cut += 1) {
    const middle = first + cut * step;
    let best = Math.round(middle);
    for (let x = Math.round(middle - step / 3); x <= middle + step / 3; x += 1)
      if ((columns[x] ?? 0) < (columns[best] ?? 0)) best = x;
    cuts.push(best);
  }
  cuts.push(last + 1);
  return cuts.slice(1).map((cut, index) => part(clean, cuts[index]!, cut));
}

function inkOf({ width, height, pixels }: GreyPicture, x: number): number {
  let ink = 0;
  for (let y = 0; y < height; y += 1) if (pixels[y * width + x] === 0) ink += 1;
  return ink;
}

function part({ width, height, pixels }: GreyPicture, left: number, right: number): GreyPicture {
  const margin = 12;
  const wide = Math.max(1, right - left) + 2 * margin;
  const out = new Uint8Array(wide * (height + 2 * margin)).fill(255);
  for (let y = 0; y < height; y += 1)
    for (let x = left; x < Math.min(right, width); x += 1)
      out[(y + margin) * wide + x - left + margin] = pixels[y * width + x]!;
  return { width: wide, height: height + 2 * margin, pixels: out };
}

function withoutDirt({ width, height, pixels }: GreyPicture): GreyPicture {
  const out = Uint8Array.from(pixels);
  const seen = new Uint8Array(pixels.length);
  for (let start = 0; start < pixels.length; start += 1) {
    if (seen[start] === 1 || pixels[start] !== 0) continue;
    const piece = [start];
    seen[start] = 1;
    for (let next = 0; next < piece.length; next += 1) {
      const at = piece[next]!;
      const x = at % width;
      for (const beside of [x > 0 ? at - 1 : -1, x < width - 1 ? at + 1 : -1, at - width, at + width]) {
        if (beside < 0 || beside >= pixels.length || seen[beside] === 1 || pixels[beside] !== 0) continue;
        seen[beside] = 1;
        piece.push(beside);
      }
    }
    if (piece.length < dirt) for (const at of piece) out[at] = 255;
  }
  return { width, height, pixels: out };
}
