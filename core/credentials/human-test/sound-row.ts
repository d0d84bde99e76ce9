import type { Random } from '../../runtime/random.ts';
import { Draw } from './draw.ts';
import { mix, noise, sounds } from './sounds.ts';
import { encodeWav, sampleRate } from './wav.ts';

/** What one may hear, in the order in which a page lists it. */
export const soundChoices: readonly string[] = Object.keys(sounds).sort();
/** Sounds in a row, no two of them alike. */
export const soundsInRow = 3;

/** A recording and what is heard in it, one after the other. */
export interface SoundRow {
  heard: string[];
  wav: Buffer;
}

/**
 * Three sounds that are to be recognised, with a pause after each; nothing has to be understood or written
 * down. Pitch, tempo, length, room and background differ each time. About 9 s.
 */
export function drawSoundRow(random: Random): SoundRow {
  const draw = new Draw(random);
  const left = [...soundChoices];
  const heard = Array.from({ length: soundsInRow }, () => {
    const name = draw.pick(left);
    left.splice(left.indexOf(name), 1);
    return name;
  });
  const parts = heard.map((name) => levelled(draw, sounds[name]!(draw, draw.between(2.1, 2.6))));
  const pauses = parts.map(() => draw.between(0.6, 0.8));
  const lengths = parts.map((part, index) => part.length / sampleRate + pauses[index]!);
  const out = noise(
    draw,
    lengths.reduce((sum, length) => sum + length, 0.3),
    draw.between(400, 3000),
    draw.between(0.01, 0.03),
  );
  let at = 0.3;
  for (const [index, part] of parts.entries()) {
    mix(out, part, at);
    at += lengths[index]!;
  }
  return { heard, wav: encodeWav(out) };
}

/** One room for a sound: two echoes, soft ends, and about the loudness of every other. */
function levelled(draw: Draw, dry: Float32Array): Float32Array {
  const wet = Float32Array.from(dry);
  for (const echo of [draw.between(0.02, 0.05), draw.between(0.06, 0.13)])
    mix(
      wet,
      dry.map((sample) => sample * draw.between(0.1, 0.3)),
      echo,
    );
  let peak = 1e-6;
  let power = 1e-9;
  for (const sample of wet) {
    peak = Math.max(peak, Math.abs(sample));
    power += (sample * sample) / wet.length;
  }
  const gain = Math.min(0.95 / peak, (0.3 * draw.between(0.8, 1)) / Math.sqrt(power));
  const soft = 0.03 * sampleRate;
  return wet.map((sample, index) => sample * gain * Math.min(1, index / soft, (wet.length - index) / soft));
}
