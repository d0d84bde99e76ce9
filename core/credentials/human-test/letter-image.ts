import type { Random } from '../../runtime/random.ts';
import { Draw } from './draw.ts';
import { letterShapes, letters, type Point, strokesOf } from './letters.ts';
import { encodePng } from './png.ts';

export const imageWidth = 300;
export const imageHeight = 120;
/** Letters in an image: 16^5 are a million words. */
export const lettersInImage = 5;

/** A picture of letters and what it says. */
export interface LetterImage {
  word: string;
  png: Buffer;
}

type Warp = (point: Point) => Point;

/**
 * Draws a word after the paper's GIMPY (MOVE section 2.4): bent letters that touch each other, arcs that run
 * through them with the same pen, and, so that no threshold tells letters from paper, patches in which dark and
 * light change places, uneven colours, and grain.
 */
export function drawLetterImage(random: Random): LetterImage {
  const draw = new Draw(random);
  const word = Array.from({ length: lettersInImage }, () => draw.pick(letters)).join('');
  const ink = new Float32Array(imageWidth * imageHeight);
  const radius = draw.between(3.4, 4.2);
  drawWord(draw, ink, word, radius);
  drawArcs(draw, ink, radius);
  return { word, png: encodePng(imageWidth, imageHeight, paint(draw, ink)) };
}

/** Puts the letters side by side, each a little over the one before, and bends them together. */
function drawWord(draw: Draw, ink: Float32Array, word: string, radius: number): void {
  const placed: Point[][] = [];
  let right = 0;
  for (const letter of word) {
    const strokes = tilt(draw, strokesOf(draw.pick(letterShapes[letter]!)));
    const left = Math.min(...strokes.flat().map(({ x }) => x));
    const overlap = placed.length === 0 ? 0 : draw.between(-3, 1) + radius;
    const shift = right - left - overlap + (placed.length === 0 ? 0 : 2 * radius);
    const down = draw.between(-8, 8);
    for (const stroke of strokes) placed.push(stroke.map(({ x, y }) => ({ x: x + shift, y: y + down })));
    right = Math.max(...placed.flat().map(({ x }) => x));
  }
  const margin = radius + 7;
  const scale = Math.min(1, (imageWidth - 2 * margin) / right);
  const start = (imageWidth - right * scale) / 2;
  const warp = waves(draw);
  for (const stroke of placed)
    drawStroke(
      ink,
      stroke.map(({ x, y }) => warp({ x: start + x * scale, y: imageHeight / 2 + y })),
      radius,
    );
}

/** One letter, about 60 pixels high around y = 0, turned, sheared and stretched by its own measure. */
function tilt(draw: Draw, strokes: Point[][]): Point[][] {
  const angle = draw.around(0, 0.22);
  const shear = draw.around(0, 0.2);
  const wide = draw.between(0.52, 0.66);
  const high = draw.between(0.54, 0.68);
  const bend = draw.around(0, 5);
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)];
  return strokes.map((stroke) =>
    stroke.map((point) => {
      const y = (point.y - 50) * high;
      const x = (point.x - 40) * wide + shear * y + bend * Math.sin(point.y / 30);
      return { x: x * cosine - y * sine, y: x * sine + y * cosine };
    }),
  );
}

/** A displacement of the whole picture by two sine waves in each direction. */
function waves(draw: Draw): Warp {
  const wave = (height: number, length: number) => {
    const [amplitude, period] = [draw.between(0.5, 1) * height, draw.between(0.8, 1.3) * length];
    const phase = draw.between(0, 2 * Math.PI);
    return (at: number) => amplitude * Math.sin((2 * Math.PI * at) / period + phase);
  };
  const [wideDown, narrowDown, wideAcross, narrowAcross] = [
    wave(6, 190),
    wave(2.2, 55),
    wave(5, 110),
    wave(1.8, 42),
  ];
  return ({ x, y }) => ({
    x: x + wideAcross(y) + narrowAcross(y),
    y: y + wideDown(x) + narrowDown(x),
  });
}

/** Arcs of the letters' own pen from side to side, so that to cut them away is to cut letters. */
function drawArcs(draw: Draw, ink: Float32Array, radius: number): void {
  const count = draw.whole(2, 3);
  for (let arc = 0; arc < count; arc += 1) {
    const start = { x: draw.between(-10, 60) + (arc * imageWidth) / count / 2, y: draw.between(18, 102) };
    const end = { x: start.x + draw.between(110, 200), y: draw.between(18, 102) };
    const middle = { x: (start.x + end.x) / 2 + draw.around(0, 30), y: draw.between(-20, 140) };
    const stroke: Point[] = [];
    for (let step = 0; step <= 24; step += 1) {
      const [share, rest] = [step / 24, 1 - step / 24];
      stroke.push({
        x: rest * rest * start.x + 2 * rest * share * middle.x + share * share * end.x,
        y: rest * rest * start.y + 2 * rest * share * middle.y + share * share * end.y,
      });
    }
    drawStroke(ink, stroke, radius * draw.between(0.8, 1));
  }
}

/** Lays a line with round ends into `ink`: 1 within `radius` of it, falling to 0 over one pixel. */
function drawStroke(ink: Float32Array, points: readonly Point[], radius: number): void {
  for (let index = 1; index < points.length; index += 1) {
    const [from, to] = [points[index - 1]!, points[index]!];
    const reach = radius + 1;
    const top = Math.max(0, Math.floor(Math.min(from.y, to.y) - reach));
    const bottom = Math.min(imageHeight - 1, Math.ceil(Math.max(from.y, to.y) + reach));
    const left = Math.max(0, Math.floor(Math.min(from.x, to.x) - reach));
    const right = Math.min(imageWidth - 1, Math.ceil(Math.max(from.x, to.x) + reach));
    const [dx, dy] = [to.x - from.x, to.y - from.y];
    const square = dx * dx + dy * dy || 1e-9;
    for (let y = top; y <= bottom; y += 1)
      for (let x = left; x <= right; x += 1) {
        const along = Math.min(1, Math.max(0, ((x - from.x) * dx + (y - from.y) * dy) / square));
        const distance = Math.hypot(x - from.x - along * dx, y - from.y - along * dy);
        const value = Math.min(1, radius + 0.5 - distance);
        const at = y * imageWidth + x;
        if (value > ink[at]!) ink[at] = value;
      }
  }
}

/** A smooth field over the picture with values around 0: the sum of some plane waves. */
function field(
  draw: Draw,
  count: number,
  shortest: number,
  longest: number,
): (x: number, y: number) => number {
  const parts = Array.from({ length: count }, () => {
    const angle = draw.between(0, 2 * Math.PI);
    const step = (2 * Math.PI) / draw.between(shortest, longest);
    return { x: Math.cos(angle) * step, y: Math.sin(angle) * step, phase: draw.between(0, 2 * Math.PI) };
  });
  return (x, y) => {
    let sum = 0;
    for (const part of parts) sum += Math.sin(part.x * x + part.y * y + part.phase);
    return sum / count;
  };
}

/** Colours: where the patch field is above zero, letters are light on dark, elsewhere dark on light. */
function paint(draw: Draw, ink: Float32Array): Uint8Array {
  const pixels = new Uint8Array(imageWidth * imageHeight * 3);
  const patches = field(draw, 4, 90, 170);
  const patchLevel = draw.around(0, 0.1);
  const shade = [field(draw, 3, 70, 160), field(draw, 3, 70, 160), field(draw, 3, 70, 160)] as const;
  const grain = field(draw, 5, 6, 13);
  for (let y = 0; y < imageHeight; y += 1)
    for (let x = 0; x < imageWidth; x += 1) {
      const at = y * imageWidth + x;
      // the border between two patches is as soft as that of a letter
      const patch = Math.min(1, Math.max(0, 0.5 + (patches(x, y) - patchLevel) * 22));
      const covered = ink[at]!;
      const dark = covered * (1 - patch) + (1 - covered) * patch;
      const texture = 22 * grain(x, y) + draw.around(0, 18);
      for (let channel = 0; channel < 3; channel += 1) {
        const tone = 38 * shade[channel as 0 | 1 | 2](x, y);
        pixels[at * 3 + channel] = Math.min(255, Math.max(0, 190 - 125 * dark + tone + texture));
      }
    }
  return pixels;
}
