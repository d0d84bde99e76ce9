import { drawSoundRow, soundsInRow } from '../../../core/credentials/human-test/sound-row.ts';
import { sampleRate } from '../../../core/credentials/human-test/wav.ts';
import type { Random } from '../../../core/runtime/random.ts';

/** Samples in one window of the analysis, and its bands' edges in Hz. */
const window = 256;
const bandEdges = [60, 150, 300, 500, 800, 1200, 1700, 2300, 3000, 4000, 5400];

/**
 * A simple automatic listener: nearest neighbour over the mean and the spread of energies in ten bands, trained on
 * `examples` recordings that it makes itself, since the generator is public.
 * Returns how many of `rows` recordings it solves, and the share of single sounds that it names.
 */
export function listen(random: Random, options: { rows: number; examples: number }) {
  const known = Array.from({ length: options.examples }, () => drawSoundRow(random)).flatMap(
    ({ heard, wav }) =>
      partsOf(samplesOf(wav)).map((part, index) => ({ name: heard[index]!, features: featuresOf(part) })),
  );
  let solved = 0;
  let named = 0;
  let judgedMs = 0;
  for (let row = 0; row < options.rows; row += 1) {
    const { heard, wav } = drawSoundRow(random);
    const start = performance.now();
    const guesses = partsOf(samplesOf(wav)).map((part) => nearest(known, featuresOf(part)));
    judgedMs += performance.now() - start;
    const right = heard.filter((name, index) => guesses[index] === name).length;
    named += right;
    if (right === soundsInRow) solved += 1;
  }
  return {
    solved,
    tried: options.rows,
    namedShare: named / (options.rows * soundsInRow),
    msPerRow: judgedMs / options.rows,
  };
}

function samplesOf(wav: Buffer): Float32Array {
  return Float32Array.from(wav.subarray(44), (value) => (value - 128) / 127);
}

/** A third of the recording each: near enough where the sounds lie. */
function partsOf(samples: Float32Array): Float32Array[] {
  const first = 0.3 * sampleRate;
  const step = (samples.length - first) / soundsInRow;
  return Array.from({ length: soundsInRow }, (_, index) => {
    const start = Math.round(first + index * step);
    return samples.subarray(start, start + Math.round(step - 0.7 * sampleRate));
  });
}

function nearest(known: readonly { name: string; features: number[] }[], features: number[]): string {
  let best = { name: '', distance: Number.POSITIVE_INFINITY };
  for (const { name, features: other } of known) {
    const distance = features.reduce((sum, value, index) => sum + (value - other[index]!) ** 2, 0);
    if (distance < best.distance) best = { name, distance };
  }
  return best.name;
}

function featuresOf(samples: Float32Array): number[] {
  const frames: number[][] = [];
  for (let at = 0; at + window <= samples.length; at += window) {
    const frame = samples.subarray(at, at + window);
    frames.push(bandEdges.slice(1).map((edge, band) => energyBetween(frame, bandEdges[band]!, edge)));
  }
  const total = frames.flat().reduce((sum, value) => sum + value, 1e-9) / frames.length;
  return bandEdges.slice(1).flatMap((_, band) => {
    const values = frames.map((frame) => Math.log10(frame[band]! / total + 1e-3));
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const spread = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    return [mean, Math.sqrt(spread)];
  });
}

/** Energy in a band, by Goertzel's recurrence at three pitches of it. */
function energyBetween(frame: Float32Array, low: number, high: number): number {
  let energy = 0;
  for (const share of [0.17, 0.5, 0.83]) {
    const factor = 2 * Math.cos((2 * Math.PI * (low + share * (high - low))) / sampleRate);
    let [one, two] = [0, 0];
    for (const sample of frame) [one, two] = [sample + factor * one - two, one];
    energy += one * one + two * two - factor * one * two;
  }
  return energy;
}
