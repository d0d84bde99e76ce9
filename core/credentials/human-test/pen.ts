import type { Point } from './letters.ts';

/** A sheet on which strokes lie: 0 nothing, 1 ink, row by row. */
export interface Sheet {
  width: number;
  height: number;
  ink: Float32Array;
}

export function emptySheet(width: number, height: number): Sheet {
  return { width, height, ink: new Float32Array(width * height) };
}

/** Lays a line with round ends onto the sheet: 1 within `radius` of it, falling to 0 over one pixel. */
export function drawStroke(sheet: Sheet, points: readonly Point[], radius: number): void {
  for (let index = 1; index < points.length; index += 1)
    drawSegment(sheet, points[index - 1]!, points[index]!, radius);
}

function drawSegment({ width, height, ink }: Sheet, from: Point, to: Point, radius: number): void {
  const reach = radius + 1;
  const top = Math.max(0, Math.floor(Math.min(from.y, to.y) - reach));
  const bottom = Math.min(height - 1, Math.ceil(Math.max(from.y, to.y) + reach));
  const left = Math.max(0, Math.floor(Math.min(from.x, to.x) - reach));
  const right = Math.min(width - 1, Math.ceil(Math.max(from.x, to.x) + reach));
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const square = dx * dx + dy * dy || 1e-9;
  for (let y = top; y <= bottom; y += 1)
    for (let x = left; x <= right; x += 1) {
      const along = Math.min(1, Math.max(0, ((x - from.x) * dx + (y - from.y) * dy) / square));
      const [beside, above] = [x - from.x - along * dx, y - from.y - along * dy];
      const value = Math.min(1, radius + 0.5 - Math.sqrt(beside * beside + above * above));
      const at = y * width + x;
      if (value > ink[at]!) ink[at] = value;
    }
}
