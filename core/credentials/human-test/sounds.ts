import type { Draw } from './draw.ts';
import { sampleRate } from './wav.ts';

/** A sound of some seconds; what it consists of is drawn anew each time. */
type Sound = (draw: Draw, seconds: number) => Float32Array;

const turn = 2 * Math.PI;

/** The sounds of the human test, under the names that people choose from. */
export const sounds: Readonly<Record<string, Sound>> = {
  'a telephone ringing': (draw, seconds) => {
    const out = silence(seconds);
    const [low, high] = [draw.between(900, 1250), draw.between(1.22, 1.32)];
    const hammer = draw.between(17, 25);
    const ring = draw.between(0.7, 1);
    for (let at = draw.between(0, 0.15); at < seconds; at += ring + draw.between(0.35, 0.5)) {
      for (let beat = 0; beat < ring * hammer; beat += 1) {
        const pitch = beat % 2 === 0 ? low : low * high;
        const when = at + (beat + draw.around(0, 0.06)) / hammer;
        strike(out, when, [pitch, pitch * 2.76, pitch * 3.9], [0.5, 0.22, 0.1], 0.09);
      }
    }
    return out;
  },
  'a clock ticking': (draw, seconds) => {
    const out = silence(seconds);
    const step = draw.between(0.34, 0.56);
    const [tick, tock] = [draw.between(2300, 3000), draw.between(1500, 2000)];
    let even = draw.chance(0.5);
    for (let at = draw.between(0.05, 0.3); at < seconds; at += step * draw.around(1, 0.01)) {
      const pitch = even ? tick : tock;
      strike(out, at, [pitch, pitch * 1.52], [0.8, 0.4], 0.012);
      burst(draw, out, at, 0.008, 0.5, 2500);
      even = !even;
    }
    return out;
  },
  rain: (draw, seconds) => {
    const out = noise(draw, seconds, draw.between(2500, 4000), 0.16);
    const drops = draw.between(45, 90) * seconds;
    for (let drop = 0; drop < drops; drop += 1)
      burst(draw, out, draw.between(0, seconds), draw.between(0.002, 0.012), draw.between(0.1, 0.6), 4500);
    return out;
  },
  'a church bell': (draw, seconds) => {
    const out = silence(seconds);
    const hum = draw.between(150, 260);
    const partials = [1, 2, 2.4, 3, 4, 5.35, 6.6].map((ratio) => hum * ratio * draw.around(1, 0.006));
    const step = draw.between(1.3, 1.9);
    for (let at = draw.between(0, 0.2); at < seconds - 0.4; at += step)
      strike(out, at, partials, [0.25, 0.4, 0.28, 0.2, 0.2, 0.12, 0.08], 0.9);
    return out;
  },
  'knocking at a door': (draw, seconds) => {
    const out = silence(seconds);
    const wood = draw.between(150, 230);
    const step = draw.between(0.17, 0.25);
    let at = draw.between(0.1, 0.35);
    while (at < seconds - 0.3) {
      const knocks = draw.whole(3, 4);
      for (let knock = 0; knock < knocks && at < seconds - 0.15; knock += 1) {
        strike(out, at, [wood, wood * 1.9, wood * 3.1, wood * 4.7], [0.8, 0.5, 0.3, 0.15], 0.035);
        burst(draw, out, at, 0.006, 0.7, 1500);
        at += step * draw.around(1, 0.08);
      }
      at += draw.between(0.5, 0.75);
    }
    return out;
  },
  'a bird singing': (draw, seconds) => {
    const out = silence(seconds);
    let at = draw.between(0.05, 0.25);
    while (at < seconds - 0.2) {
      const [from, to] = [draw.between(2400, 3900), draw.between(2400, 4300)];
      const [length, calls] = [draw.between(0.07, 0.16), draw.whole(2, 5)];
      for (let call = 0; call < calls && at < seconds - 0.2; call += 1) {
        glide(out, at, length, from, to, 0.6);
        at += length + draw.between(0.02, 0.06);
      }
      at += draw.between(0.15, 0.4);
    }
    return out;
  },
  'a siren': (draw, seconds) => {
    const [low, high] = [draw.between(450, 600), draw.between(1000, 1350)];
    const period = draw.between(1, 1.9);
    const start = draw.between(0, 1);
    return tone(
      seconds,
      (at) => {
        const swing = 0.5 - 0.5 * Math.cos(turn * (at / period + start));
        return low + (high - low) * swing;
      },
      (phase) => 0.4 * Math.sin(phase) + 0.16 * Math.sin(2 * phase) + 0.1 * Math.sin(3 * phase),
    );
  },
  footsteps: (draw, seconds) => {
    const out = silence(seconds);
    const step = draw.between(0.46, 0.62);
    for (let at = draw.between(0.05, 0.3); at < seconds - 0.2; at += step * draw.around(1, 0.05)) {
      strike(out, at, [draw.between(75, 110)], [0.7], 0.03);
      burst(draw, out, at, 0.025, 0.55, 900);
      for (let grain = 0; grain < 26; grain += 1) {
        const when = at + 0.02 + draw.between(0, 0.15);
        burst(draw, out, when, 0.004, draw.between(0.1, 0.5), draw.between(1500, 4000));
      }
    }
    return out;
  },
  'a car horn': (draw, seconds) => {
    const out = silence(seconds);
    const pitch = draw.between(340, 430);
    const second = pitch * draw.between(1.2, 1.27);
    let at = draw.between(0.05, 0.3);
    while (at < seconds - 0.25) {
      const length = Math.min(draw.between(0.25, 0.8), seconds - at);
      for (const base of [pitch, second])
        for (let overtone = 1; overtone * base < 4500; overtone += 1)
          hold(out, at, length, base * overtone, 0.3 / overtone ** 0.8);
      at += length + draw.between(0.12, 0.4);
    }
    return out;
  },
  'a referee’s whistle': (draw, seconds) => {
    const out = silence(seconds);
    const [pitch, pea] = [draw.between(2200, 2900), draw.between(24, 38)];
    let at = draw.between(0.05, 0.25);
    while (at < seconds - 0.25) {
      const length = Math.min(draw.between(0.25, 0.9), seconds - at);
      const part = tone(
        length,
        (moment) => pitch * (1 + 0.035 * Math.sin(turn * pea * moment)),
        (phase, moment) => (0.5 + 0.3 * Math.sin(turn * pea * moment)) * Math.sin(phase) * 0.8,
      );
      mix(out, part, at);
      mix(out, noise(draw, length, 4000, 0.05), at);
      at += length + draw.between(0.12, 0.35);
    }
    return out;
  },
  'a drum roll': (draw, seconds) => {
    const out = silence(seconds);
    const rate = draw.between(17, 24);
    const skin = draw.between(170, 230);
    for (let beat = 0; beat < rate * seconds; beat += 1) {
      const swell = 0.35 + 0.65 * (beat / (rate * seconds));
      const when = (beat + draw.around(0, 0.12)) / rate;
      strike(out, when, [skin, skin * 1.6], [0.45 * swell, 0.25 * swell], 0.03);
      burst(draw, out, when, 0.03, 0.6 * swell, 3500);
    }
    return out;
  },
  'water dripping': (draw, seconds) => {
    const out = silence(seconds);
    for (let at = draw.between(0.05, 0.3); at < seconds - 0.15; at += draw.between(0.25, 0.6)) {
      const pitch = draw.between(650, 1100);
      glide(out, at, draw.between(0.05, 0.09), pitch, pitch * draw.between(1.6, 2.2), 0.7);
      if (draw.chance(0.5)) glide(out, at + draw.between(0.08, 0.12), 0.04, pitch * 1.5, pitch * 2.6, 0.3);
    }
    return out;
  },
  'a helicopter': (draw, seconds) => {
    const out = noise(draw, seconds, draw.between(500, 900), 0.9);
    const rate = draw.between(9, 13);
    for (let index = 0; index < out.length; index += 1) {
      const share = ((index / sampleRate) * rate) % 1;
      out[index]! *= 0.12 + Math.exp(-share * 5) * (1 - Math.exp(-share * 60));
    }
    return out;
  },
};

function silence(seconds: number): Float32Array {
  return new Float32Array(Math.max(0, Math.round(seconds * sampleRate)));
}

/** Adds `part` to `out` from the second `at` on, at `level`; what sticks out is dropped. */
export function mix(out: Float32Array, part: Float32Array, at: number, level = 1): void {
  const first = Math.max(0, Math.round(at * sampleRate));
  const count = Math.min(part.length, out.length - first);
  for (let index = 0; index < count; index += 1) out[first + index]! += level * part[index]!;
}

/** Something that is hit: partials that fade within `decay` seconds to a third, higher ones sooner. */
function strike(
  out: Float32Array,
  at: number,
  pitches: readonly number[],
  levels: readonly number[],
  decay: number,
): void {
  const first = Math.round(at * sampleRate);
  for (const [partial, pitch] of pitches.entries()) {
    const fade = decay / (1 + 0.35 * partial);
    const last = Math.min(out.length, first + Math.round(fade * 5 * sampleRate));
    // a fading sine by its recurrence: each sample follows from the two before
    const shrink = Math.exp(-1 / (fade * sampleRate));
    const step = (turn * pitch) / sampleRate;
    const [factor, square] = [2 * shrink * Math.cos(step), shrink * shrink];
    let before = 0;
    let sample = levels[partial]! * shrink * Math.sin(step);
    for (let place = first + 1; place < last; place += 1) {
      if (place >= 0) out[place]! += sample;
      [before, sample] = [sample, factor * sample - square * before];
    }
  }
}

/** A burst of noise that fades within `decay` seconds to a third. */
function burst(
  draw: Draw,
  out: Float32Array,
  at: number,
  decay: number,
  level: number,
  cutoff: number,
): void {
  const part = noise(draw, decay * 5, cutoff, level * 1.6);
  for (let index = 0; index < part.length; index += 1) part[index]! *= Math.exp(-index / sampleRate / decay);
  mix(out, part, at);
}

/** Noise below about `cutoff` Hz. */
export function noise(draw: Draw, seconds: number, cutoff: number, level: number): Float32Array {
  const out = silence(seconds);
  const share = 1 - Math.exp((-turn * cutoff) / sampleRate);
  const gain = level / Math.sqrt(share / (2 - share)) / 1.5;
  let low = 0;
  for (let index = 0; index < out.length; index += 1) {
    low += share * (draw.around(0, 1) - low);
    out[index] = low * gain;
  }
  return out;
}

/** A tone whose pitch glides, swelling and fading as a call does. */
function glide(out: Float32Array, at: number, length: number, from: number, to: number, level: number): void {
  const part = tone(
    length,
    (moment) => from + (to - from) * (moment / length),
    (phase, moment) => level * Math.sin((Math.PI * moment) / length) * Math.sin(phase),
  );
  mix(out, part, at);
}

/** A sine that is held, with soft ends. */
function hold(out: Float32Array, at: number, length: number, pitch: number, level: number): void {
  const part = tone(
    length,
    () => pitch,
    (phase, moment) => level * 0.5 * Math.min(1, moment / 0.02, (length - moment) / 0.03) * Math.sin(phase),
  );
  mix(out, part, at);
}

function tone(
  seconds: number,
  pitchAt: (second: number) => number,
  valueAt: (phase: number, second: number) => number,
): Float32Array {
  const out = silence(seconds);
  let phase = 0;
  for (let index = 0; index < out.length; index += 1) {
    const moment = index / sampleRate;
    phase += (turn * pitchAt(moment)) / sampleRate;
    out[index] = valueAt(phase, moment);
  }
  return out;
}
