import type { Draw } from './draw.ts';

/**
 * A smooth random field over a picture, row by row, with values from -1 to 1: the mean of `count` plane waves
 * whose lengths lie between `shortest` and `longest` pixels.
 */
export function field(
  draw: Draw,
  size: { width: number; height: number },
  waves: { count: number; shortest: number; longest: number },
): Float32Array {
  const { width, height } = size;
  const out = new Float32Array(width * height);
  for (let wave = 0; wave < waves.count; wave += 1) {
    const angle = draw.between(0, 2 * Math.PI);
    const step = (2 * Math.PI) / draw.between(waves.shortest, waves.longest);
    const phase = draw.between(0, 2 * Math.PI);
    const across = curve(width, Math.cos(angle) * step, 0);
    const down = curve(height, Math.sin(angle) * step, phase);
    // sin(a + b) from both curves, because a sine for each pixel takes ten times as long
    for (let y = 0; y < height; y += 1)
      for (let x = 0; x < width; x += 1)
        out[y * width + x]! +=
          (across.sine[x]! * down.cosine[y]! + across.cosine[x]! * down.sine[y]!) / waves.count;
  }
  return out;
}

function curve(length: number, step: number, phase: number) {
  const angles = Float32Array.from({ length }, (_, index) => index * step + phase);
  return { sine: angles.map(Math.sin), cosine: angles.map(Math.cos) };
}
