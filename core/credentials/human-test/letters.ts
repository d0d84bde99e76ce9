/**
 * The letters of the human test, drawn for it as strokes of a pen. A box is 100 high; x grows to the right, y
 * downwards, capitals stand on y = 100. Each letter has several shapes.
 *
 * A shape is a list of strokes: `M x y` sets the pen down, `L x y` draws a line, `Q cx cy x y` a curve.
 *
 * Letters that people take for others once they are bent and crossed are left out: C, D, F, I, J, K, L, N, O,
 * P, Q, U and V.
 */
export const letterShapes: Readonly<Record<string, readonly string[]>> = {
  A: [
    'M 4 100 L 36 2 L 40 2 L 74 100 M 16 66 L 62 66',
    'M 12 46 Q 20 30 42 30 Q 66 30 66 56 L 66 84 Q 66 100 78 100 M 66 60 Q 30 56 16 68 Q 6 84 20 96 Q 44 106 66 78',
    'M 2 102 Q 22 60 38 0 Q 48 60 76 100 M 14 70 Q 40 58 60 68',
  ],
  B: [
    'M 8 100 L 8 2 L 36 2 Q 66 2 66 26 Q 66 48 34 48 L 8 48 M 34 48 Q 72 50 72 74 Q 72 100 36 100 L 8 100',
    'M 14 2 L 12 100 M 2 4 Q 64 -6 62 24 Q 60 46 12 48 Q 74 48 72 76 Q 68 102 2 98',
  ],
  E: [
    'M 66 2 L 8 2 L 8 100 L 68 100 M 8 50 L 56 50',
    'M 64 12 Q 48 -2 28 2 Q 4 10 10 30 Q 16 46 44 47 Q 4 50 4 76 Q 8 100 36 100 Q 58 100 68 86',
    'M 10 66 L 70 62 Q 70 30 42 30 Q 8 32 8 66 Q 10 100 44 100 Q 60 100 70 88',
  ],
  G: [
    'M 74 20 Q 62 0 40 2 Q 6 6 6 52 Q 8 100 44 100 Q 70 98 76 84 L 76 56 L 46 56',
    'M 72 16 Q 54 -4 30 6 Q 4 22 6 58 Q 12 102 46 100 Q 74 96 74 54 L 44 54 M 74 54 L 74 104',
  ],
  H: [
    'M 8 2 L 8 100 M 72 2 L 72 100 M 8 50 L 72 50',
    'M 14 -2 Q 8 50 10 102 M 70 0 Q 64 50 74 100 M 2 54 Q 40 42 78 50',
  ],
  M: [
    'M 6 100 L 10 2 L 48 66 L 86 2 L 90 100',
    'M 6 34 L 6 100 M 6 60 Q 12 34 28 34 Q 46 34 46 60 L 46 100 M 46 60 Q 54 34 70 34 Q 88 34 88 60 L 88 100',
    'M 2 100 Q 14 50 16 2 L 48 78 L 80 2 Q 82 50 96 98',
  ],
  R: [
    'M 8 100 L 8 2 L 38 2 Q 68 4 68 28 Q 68 52 36 52 L 8 52 M 36 52 L 74 100',
    'M 14 100 L 12 4 M 2 10 Q 28 -6 52 4 Q 72 20 56 42 Q 42 54 14 52 Q 46 54 56 80 Q 62 98 78 98',
  ],
  S: [
    'M 66 16 Q 54 0 36 2 Q 8 6 10 28 Q 12 44 38 50 Q 68 56 68 76 Q 66 100 36 100 Q 14 98 4 82',
    'M 68 22 Q 66 -4 36 2 Q 0 14 20 40 Q 32 48 52 56 Q 82 76 56 94 Q 22 108 6 74',
  ],
  T: [
    'M 2 2 L 76 2 M 39 2 L 39 100',
    'M 0 14 Q 4 0 20 4 Q 40 8 60 2 Q 74 -2 78 8 M 40 6 Q 36 60 42 100',
    'M 2 20 L 2 2 L 78 2 L 78 20 M 40 2 L 40 100',
  ],
  W: [
    'M 2 2 L 22 100 L 48 24 L 74 100 L 94 2',
    'M 4 2 Q 8 98 26 98 Q 44 98 48 40 Q 52 98 70 98 Q 90 98 92 2',
  ],
  X: ['M 4 2 L 74 100 M 74 2 L 4 100', 'M 2 2 Q 26 8 40 50 Q 54 96 80 98 M 76 0 Q 56 20 40 50 Q 24 80 0 100'],
  Y: [
    'M 4 2 Q 6 52 38 52 Q 68 50 72 2 M 72 2 Q 76 98 44 104 Q 22 108 10 94',
    'M 4 0 L 8 30 Q 14 54 38 52 Q 62 48 70 0 M 70 0 L 68 70 Q 66 106 36 104 Q 16 102 8 84',
  ],
  Z: [
    'M 6 2 L 72 2 L 4 100 L 76 100',
    'M 4 10 Q 20 -4 40 4 Q 60 10 72 0 L 6 96 Q 30 88 46 96 Q 64 104 78 92',
  ],
};

/** The letters that occur. */
export const letters: readonly string[] = Object.keys(letterShapes);

/** What people may read in place of a letter: letters and digits that do not occur, and what they look like. */
const lookalikes: Readonly<Record<string, string>> = {
  C: 'G',
  D: 'B',
  F: 'E',
  K: 'R',
  N: 'M',
  2: 'Z',
  3: 'E',
  5: 'S',
  6: 'G',
  8: 'B',
};

/**
 * An answer as it is judged: without spaces, in capitals, and what cannot occur read as what it looks like. It
 * gives nothing to who guesses, because no two letters that occur become one.
 */
export function canonicalLetters(answer: string): string {
  const capitals = answer.replaceAll(/[\s-]/g, '').toUpperCase();
  return Array.from(capitals, (letter) => lookalikes[letter] ?? letter).join('');
}

export interface Point {
  x: number;
  y: number;
}

/** The strokes of a shape, each as the points of a line with steps of about a tenth of a letter. */
export function strokesOf(shape: string): Point[][] {
  const words = shape.split(' ');
  const strokes: Point[][] = [];
  let pen: Point = { x: 0, y: 0 };
  let next = 0;
  const point = (): Point => ({ x: Number(words[next++]), y: Number(words[next++]) });
  while (next < words.length) {
    const command = words[next++];
    const stroke = strokes.at(-1) ?? [];
    if (command === 'M') {
      pen = point();
      strokes.push([pen]);
      continue;
    }
    const control = command === 'Q' ? point() : undefined;
    const end = point();
    for (let step = 1; step <= 8; step += 1) stroke.push(between(pen, control, end, step / 8));
    pen = end;
  }
  return strokes;
}

function between(start: Point, control: Point | undefined, end: Point, share: number): Point {
  const rest = 1 - share;
  const middle = control ?? { x: (start.x + end.x) / 2, y: (start.y + end.y) / 2 };
  return {
    x: rest * rest * start.x + 2 * rest * share * middle.x + share * share * end.x,
    y: rest * rest * start.y + 2 * rest * share * middle.y + share * share * end.y,
  };
}
