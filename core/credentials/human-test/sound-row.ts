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
 * down. Pitch, tempo, length, room, colour and background differ each time. About 9 s.
 */
export function drawSoundRow(random: Random): SoundRow {
  const draw = new Draw(random);
  const left = [...soundChoices];
  const heard = Array.from({ length: soundsInRow }, () => {
    const name = draw.pick(left);
    left.splice(left.indexOf(name), 1);
    return name;
  });
  const parts = heard.map((name) => inSomeRoom(draw, sounds[name]!(draw, draw.between(2, 2.8))));
  const pauses = parts.map(() => draw.between(0.5, 0.9));
  const lengths = parts.map((part, index) => part.length / sampleRate + pauses[index]!);
  const out = background(
    draw,
    lengths.reduce((sum, length) => sum + length, 0.3),
  );
  let at = 0.3;
  for (const [index, part] of parts.entries()) {
    mix(out, part, at);
    at += lengths[index]!;
  }
  return { heard, wav: encodeWav(out) };
}

/** A murmur whose colour and loudness change all the time, well below the sounds. */
function background(draw: Draw, seconds: number): Float32Array {
  const out = noise(draw, seconds, draw.between(300, 4000), draw.between(0.03, 0.07));
  for (let at = 0; at < seconds; at += draw.between(0.3, 1)) {
    const gust = noise(draw, draw.between(0.5, 1.5), draw.between(200, 4500), draw.between(0.02, 0.09));
    const swell = gust.map((sample, index) => sample * Math.sin((Math.PI * index) / gust.length));
    mix(out, swell, at);
  }
  return out;
}

/** One room for a sound: colour, two echoes, soft ends, and about the loudness of every other. */
function inSomeRoom(draw: Draw, dry: Float32Array): Float32Array {
  const wet = coloured(draw, dry);
  for (const echo of [draw.between(0.02, 0.06), draw.between(0.07, 0.15)]) {
    mix(wet, dry, echo, draw.between(0.1, 0.4));
  }
  let peak = 1e-6;
  let power = 1e-9;
  for (const sample of wet) {
    peak = Math.max(peak, Math.abs(sample));
    power += (sample * sample) / wet.length;
  }
  const gain = Math.min(0.9 / peak, (0.28 * draw.between(0.8, 1)) / Math.sqrt(power));
  const soft = 0.03 * sampleRate;
  return wet.map((sample, index) => sample * gain * Math.min(1, index / soft, (wet.length - index) / soft));
}

/** Tilts the spectrum to the dark or the bright side, as another loudspeaker would. */
function coloured(draw: Draw, dry: Float32Array): Float32Array {
  const share = draw.between(0.15, 0.6);
  const bright = draw.between(0, 1);
  let low = 0;
  return dry.map((sample) => {
    low += share * (sample - low);
    return bright * sample + (1 - bright) * low * 1.5 - bright * 0.5 * low;
  });
}
