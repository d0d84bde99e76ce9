import fs from 'node:fs';
import path from 'node:path';
import type { Bounds } from './adapter.ts';

export const smallestWindow = { width: 960, height: 640 } as const;
const firstWindow = { width: 1440, height: 900 } as const;

const sizeFile = (directory: string) => path.join(directory, 'window.json');

/** Where the window was when it was last closed; the first time, and after a damaged file, a size alone. */
export function rememberedBounds(directory: string): Pick<Bounds, 'width' | 'height'> & Partial<Bounds> {
  let stored: unknown;
  try {
    stored = JSON.parse(fs.readFileSync(sizeFile(directory), 'utf8'));
  } catch {
    // Absent on the first start, and not worth a complaint when damaged.
    return firstWindow;
  }
  const { x, y, width, height } = (stored ?? {}) as Record<string, unknown>;
  const whole = [x, y, width, height].every(
    (value) => Number.isInteger(value) && Math.abs(value as number) < 32_768,
  );
  if (!whole) return firstWindow;
  const bounds = { x, y, width, height } as Bounds;
  return bounds.width >= smallestWindow.width && bounds.height >= smallestWindow.height
    ? bounds
    : firstWindow;
}

/** Writes the bounds down; a disk that refuses costs only the memory of a size. */
export function rememberBounds(directory: string, bounds: Bounds, log: (line: string) => void): void {
  try {
    fs.mkdirSync(directory, { recursive: true });
    fs.writeFileSync(sizeFile(directory), JSON.stringify(bounds));
  } catch (thrown) {
    log(`the window's size was not remembered: ${thrown instanceof Error ? thrown.message : thrown}`);
  }
}
