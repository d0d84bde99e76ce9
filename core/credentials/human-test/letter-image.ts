import type { Random } from '../../runtime/random.ts';
import { Draw } from './draw.ts';
import { field } from './field.ts';
import { letterShapes, letters, type Point, strokesOf } from './letters.ts';
import { drawStroke, emptySheet, type Sheet } from './pen.ts';
import { type Colour, encodePng } from './png.ts';

export const imageWidth = 320;
export const imageHeight = 120;
/** Letters in an image. */
export const lettersInImage = 5;

/** A picture of letters and what it says. */
export interface LetterImage {
  word: string;
  png: Buffer;
}

/** How much of each hindrance a picture has; 0 is none of it. */
export interface LetterStyle {
  /** Rotation and shear of each letter, in radians; half as much uneven width and height. */
  tilt: number;
  /** Pixels by which two neighbours reach into each other. */
  overlap: number;
  /** The share of the usual waves that bend the word. */
  waves: number;
  /** Arcs through the letters. */
  arcs: number;
  /** 1: in patches, dark and light change places. */
  patches: 0 | 1;
  /** Unevenness of the tone, and the grain, as shares of the usual. */
  uneven: number;
}

/** What people are shown. */
export const gimpy: LetterStyle = { tilt: 0.16, overlap: 3, waves: 1, arcs: 2, patches: 1, uneven: 1 };

/** The same letters without any hindrance, to see that a reader can read them at all. */
export const plain: LetterStyle = { tilt: 0, overlap: -10, waves: 0, arcs: 0, patches: 0, uneven: 0 };

/**
 * Draws a word after the paper's GIMPY (MOVE section 2.4): bent letters that touch each other, arcs that run
 * through them with the same pen, and, so that no threshold tells letters from paper, patches in which dark and
 * light change places, uneven colours, and grain.
 */
export function drawLetterImage(random: Random, style: LetterStyle = gimpy): LetterImage {
  const draw = new Draw(random);
  const word = Array.from({ length: lettersInImage }, () => draw.pick(letters)).join('');
  const sheet = emptySheet(imageWidth, imageHeight);
  const radius = draw.between(3.7, 4.3);
  const warp = waves(draw, style.waves);
  drawWord(draw, sheet, word, style, { radius, warp });
  for (let arc = 0; arc < style.arcs; arc += 1) drawArc(draw, sheet, arc / style.arcs, { radius, warp });
  return { word, png: encodePng(imageWidth, imageHeight, palette(draw), paint(draw, sheet, style)) };
}

interface Pen {
  radius: number;
  warp: (point: Point) => Point;
}

/** Puts the letters side by side, each a little into the one before, and bends them together. */
function drawWord(draw: Draw, sheet: Sheet, word: string, style: LetterStyle, pen: Pen): void {
  const placed: Point[][] = [];
  let right = 0;
  for (const letter of word) {
    const shapes = letterShapes[letter]!;
    const strokes = tilted(draw, strokesOf(draw.pick(shapes)), style.tilt);
    const left = Math.min(...strokes.flat().map(({ x }) => x));
    const overlap = style.overlap * draw.between(0.4, 1) - 2 * pen.radius;
    const shift = right - left - (placed.length === 0 ? 0 : overlap);
    const down = draw.around(0, 5) * style.waves;
    for (const stroke of strokes) placed.push(stroke.map(({ x, y }) => ({ x: x + shift, y: y + down })));
    right = Math.max(...placed.flat().map(({ x }) => x));
  }
  const scale = Math.min(1, (imageWidth - 2 * (pen.radius + 8)) / right);
  const start = (imageWidth - right * scale) / 2;
  for (const stroke of placed) {
    const line = stroke.map(({ x, y }) => pen.warp({ x: start + x * scale, y: imageHeight / 2 + y }));
    drawStroke(sheet, line, pen.radius);
  }
}

/** One letter, about 65 pixels high around y = 0, turned, sheared and stretched by its own measure. */
function tilted(draw: Draw, strokes: Point[][], tilt: number): Point[][] {
  const angle = draw.around(0, tilt);
  const shear = draw.around(0, tilt);
  const wide = 0.62 * draw.around(1, tilt / 2);
  const high = 0.66 * draw.around(1, tilt / 2);
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)];
  return strokes.map((stroke) =>
    stroke.map((point) => {
      const y = (point.y - 50) * high;
      const x = (point.x - 40) * wide + shear * y;
      return { x: x * cosine - y * sine, y: x * sine + y * cosine };
    }),
  );
}

/** A displacement of the whole picture by two sine waves in each direction. */
function waves(draw: Draw, share: number): Pen['warp'] {
  const wave = (height: number, length: number) => {
    const amplitude = draw.between(0.5, 1) * height * share;
    const period = draw.between(0.8, 1.3) * length;
    const phase = draw.between(0, 2 * Math.PI);
    return (at: number) => amplitude * Math.sin((2 * Math.PI * at) / period + phase);
  };
  const [down, narrowDown] = [wave(6, 200), wave(2, 60)];
  const [across, narrowAcross] = [wave(4, 110), wave(1.6, 45)];
  return ({ x, y }) => ({ x: x + across(y) + narrowAcross(y), y: y + down(x) + narrowDown(x) });
}

/** An arc of the letters' own pen, `place` (0 to 1) along the word: who cuts it away cuts letters. */
function drawArc(draw: Draw, sheet: Sheet, place: number, pen: Pen): void {
  const start = { x: 10 + place * imageWidth + draw.around(0, 20), y: draw.between(34, 86) };
  const end = { x: start.x + draw.between(110, 170), y: draw.between(34, 86) };
  const middle = {
    x: (start.x + end.x) / 2,
    y: draw.chance(0.5) ? draw.between(5, 35) : draw.between(85, 115),
  };
  const line: Point[] = [];
  for (let step = 0; step <= 24; step += 1) {
    const [share, rest] = [step / 24, 1 - step / 24];
    line.push({
      x: rest * rest * start.x + 2 * rest * share * middle.x + share * share * end.x,
      y: rest * rest * start.y + 2 * rest * share * middle.y + share * share * end.y,
    });
  }
  drawStroke(sheet, line.map(pen.warp), pen.radius);
}

/** Shades of grey in a picture's palette, and tints of each. */
const shades = 32;
const tints = 8;

/** Each shade in eight pale tints of about the same lightness. */
function palette(draw: Draw): Colour[] {
  const turn = draw.between(0, 2 * Math.PI);
  return Array.from({ length: shades * tints }, (_, index) => {
    const light = ((Math.floor(index / tints) + 0.5) * 256) / shades;
    const hue = turn + ((index % tints) / tints) * 2 * Math.PI;
    return [0, 1, 2].map((channel) =>
      Math.round(Math.min(255, Math.max(0, light + 26 * Math.cos(hue - (channel * 2 * Math.PI) / 3)))),
    ) as unknown as Colour;
  });
}

/** The level that half of the ink lies above, so that no word is spared. */
function middleUnder(ink: Float32Array, patches: Float32Array): number {
  const values = patches.filter((_, at) => ink[at]! > 0.5).sort();
  return values[values.length >> 1] ?? 0;
}

/** Where the patch field is above its level, letters are light on dark, elsewhere dark on light. */
function paint(draw: Draw, { width, height, ink }: Sheet, style: LetterStyle): Uint8Array {
  const size = { width, height };
  const patches = field(draw, size, { count: 3, shortest: 85, longest: 150 });
  const level = style.patches === 1 ? middleUnder(ink, patches) : Number.POSITIVE_INFINITY;
  const tone = field(draw, size, { count: 3, shortest: 60, longest: 150 });
  const texture = field(draw, size, { count: 4, shortest: 7, longest: 15 });
  const tint = field(draw, size, { count: 3, shortest: 90, longest: 200 });
  return Uint8Array.from(ink, (covered, at) => {
    // the border between two patches is as sharp as that of a letter
    const patch = Math.min(1, Math.max(0, 0.5 + (patches[at]! - level) * 28));
    const dark = covered * (1 - patch) + (1 - covered) * patch;
    const uneven = style.uneven * (34 * tone[at]! + 20 * texture[at]! + draw.around(0, 14));
    const light = 196 - 136 * dark + uneven;
    const shade = Math.min(shades - 1, Math.max(0, Math.floor((light * shades) / 256)));
    const colour = Math.floor((tint[at]! + 1 + draw.around(0, 0.1)) * tints);
    return shade * tints + (colour & (tints - 1));
  });
}
