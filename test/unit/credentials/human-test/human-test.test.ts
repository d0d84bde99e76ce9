import { describe, expect, it } from 'vitest';
import {
  HumanTest,
  type HumanTestBounds,
  type HumanTestChallenge,
  humanTestBounds,
} from '../../../../core/credentials/human-test/human-test.ts';
import { drawLetterImage } from '../../../../core/credentials/human-test/letter-image.ts';
import { solveWork } from '../../../../core/credentials/human-test/proof-of-work.ts';
import { drawSoundRow } from '../../../../core/credentials/human-test/sound-row.ts';
import type { MoveError } from '../../../../core/runtime/errors.ts';
import { type Random, secureRandom, seededRandom } from '../../../../core/runtime/random.ts';
import { HandClock } from '../../../support/hand-clock.ts';

const here = '192.0.2.7';

/** Randomness that is the same before every picture and sound, so that one can tell what they say. */
class KnownRandom implements Random {
  #inner = seededRandom(1);
  #seed = 1;

  bytes(size: number): Buffer {
    if (size !== 16) return this.#inner.bytes(size);
    // an identifier begins a new challenge
    this.#seed += 1;
    this.#inner = seededRandom(this.#seed);
    return seededRandom(1_000_000 + this.#seed).bytes(size);
  }

  below(bound: number): number {
    return this.#inner.below(bound);
  }

  /** What the challenge drawn last says. */
  answer(kind: HumanTestChallenge['kind']): string {
    const same = seededRandom(this.#seed);
    return kind === 'image' ? drawLetterImage(same).word : drawSoundRow(same).heard.join(',');
  }
}

function world(options: { bounds?: Partial<HumanTestBounds>; stress?: () => number } = {}) {
  const clock = new HandClock();
  const random = new KnownRandom();
  const test = new HumanTest({ clock, random, ...options });
  return { clock, random, test };
}

function codeOf(run: () => unknown): string | undefined {
  try {
    run();
  } catch (thrown) {
    return (thrown as MoveError).code;
  }
  return undefined;
}

describe('the human test', () => {
  it.each(['image', 'sound'] as const)('lets somebody pass who answers the %s', (kind) => {
    const { random, test } = world();
    const { id, media, mediaType, choices, work, expiresAt } = test.issue(here, kind);
    expect(Buffer.from(id, 'base64url')).toHaveLength(16);
    expect(mediaType).toBe(kind === 'image' ? 'image/png' : 'audio/wav');
    expect(media.toString('latin1', 0, 4)).toBe(kind === 'image' ? '\x89PNG' : 'RIFF');
    expect(expiresAt).toBe(1000 + humanTestBounds.lifetimeMs);
    expect(work).toBeNull();
    const answer = random.answer(kind);
    if (kind === 'sound') expect(choices).toEqual(expect.arrayContaining(answer.split(',')));
    else expect(choices).toBeNull();
    test.answer(here, id, answer);
    expect(test.outstanding).toBe(0);
  });

  it('judges letters without regard to case, spaces and what letters look like', () => {
    const { random, test } = world();
    const { id } = test.issue(here, 'image');
    const spread = Array.from(random.answer('image').toLowerCase()).join(' ');
    test.answer(here, id, ` ${spread.replaceAll('s', '5').replaceAll('e', 'f')} `);
  });

  it('takes sounds in their order only', () => {
    const { random, test } = world();
    const { id } = test.issue(here, 'sound');
    const turned = random.answer('sound').split(',').reverse().join(',');
    expect(codeOf(() => test.answer(here, id, turned))).toBe('CHALLENGE_WRONG');
  });

  it('refuses a second answer, after a right one as after a wrong one', () => {
    const { random, test } = world();
    const right = test.issue(here, 'image');
    test.answer(here, right.id, random.answer('image'));
    expect(codeOf(() => test.answer(here, right.id, random.answer('image')))).toBe('CHALLENGE_UNKNOWN');
    const wrong = test.issue(here, 'image');
    expect(codeOf(() => test.answer(here, wrong.id, 'nonsense'))).toBe('CHALLENGE_WRONG');
    expect(codeOf(() => test.answer(here, wrong.id, random.answer('image')))).toBe('CHALLENGE_UNKNOWN');
    expect(codeOf(() => test.answer(here, 'never set', 'x'))).toBe('CHALLENGE_UNKNOWN');
  });

  it('refuses an answer from elsewhere, and the challenge is used up', () => {
    const { random, test } = world();
    const { id } = test.issue(here, 'image');
    const answer = random.answer('image');
    expect(codeOf(() => test.answer('192.0.2.8', id, answer))).toBe('CHALLENGE_ADDRESS');
    expect(codeOf(() => test.answer(here, id, answer))).toBe('CHALLENGE_UNKNOWN');
  });

  it('takes an answer from the same /64', () => {
    const { random, test } = world();
    const { id } = test.issue('2001:db8::1', 'image');
    test.answer('2001:db8::ffff:1', id, random.answer('image'));
  });

  it('refuses an answer that comes too late', () => {
    const { clock, random, test } = world();
    const { id } = test.issue(here, 'image');
    clock.turn(humanTestBounds.lifetimeMs - 1);
    const late = test.issue(here, 'image');
    const answer = random.answer('image');
    clock.turn(1);
    expect(codeOf(() => test.answer(here, id, 'x'))).toBe('CHALLENGE_EXPIRED');
    test.answer(here, late.id, answer);
  });

  it('forgets what nobody answered', () => {
    const { clock, test } = world();
    for (let time = 0; time < 12; time += 1) {
      test.issue(here, 'image');
      clock.turn(humanTestBounds.lifetimeMs);
      expect(test.outstanding).toBeLessThanOrEqual(2);
    }
  });

  it('lets an address ask so and so often, says when to come back, and others go on', () => {
    const { clock, test } = world({ bounds: { burst: 3, refillMs: 10_000, soundCosts: 2 } });
    test.issue(here, 'image');
    test.issue(here, 'sound');
    const refused = () => test.issue(here, 'image');
    expect(refused).toThrowError(
      expect.objectContaining({ code: 'CHALLENGE_RATE_LIMITED', details: { retryAfterMs: 10_000 } }),
    );
    test.issue('192.0.2.8', 'image');
    clock.turn(10_000);
    expect(codeOf(refused)).toBeUndefined();
  });

  it('lets who answers wrong wait longer', () => {
    const { test } = world({ bounds: { burst: 4, refillMs: 10_000, wrongCosts: 3 } });
    const { id } = test.issue(here, 'image');
    expect(codeOf(() => test.answer(here, id, 'wrong'))).toBe('CHALLENGE_WRONG');
    expect(codeOf(() => test.issue(here, 'image'))).toBe('CHALLENGE_RATE_LIMITED');
  });

  it('sets a bounded number at one time, goes on when there is room, and charges nobody meanwhile', () => {
    const bounds = { outstanding: 5, burst: 4, refillMs: 1e9, lifetimeMs: 60_000 };
    const { clock, test } = world({ bounds });
    for (let other = 0; other < 5; other += 1) test.issue(`198.51.100.${other}`, 'image');
    for (let time = 0; time < 10; time += 1)
      expect(() => test.issue(here, 'image')).toThrowError(
        expect.objectContaining({ code: 'CHALLENGES_EXHAUSTED', details: { retryAfterMs: 60_000 } }),
      );
    clock.turn(60_000);
    for (let time = 0; time < 4; time += 1) test.issue(here, 'image');
    expect(test.outstanding).toBeLessThanOrEqual(5);
  });

  it('draws a bounded number a second', () => {
    const { clock, test } = world({ bounds: { perSecond: 4 } });
    for (let other = 0; other < 4; other += 1) test.issue(`198.51.100.${other}`, 'image');
    expect(codeOf(() => test.issue(here, 'image'))).toBe('CHALLENGES_EXHAUSTED');
    clock.turn(250);
    test.issue(here, 'image');
  });

  it('asks for work under stress, beside the answer and never instead of it', () => {
    let stress = 0;
    const bounds = { work: { threshold: 0.3, from: 4, to: 8 } };
    const { random, test } = world({ bounds, stress: () => stress });
    expect(test.issue(here, 'image').work).toBeNull();
    stress = 1;
    const asked = () => {
      const { id, work } = test.issue(here, 'image');
      return { id, nonce: solveWork(work!.prefix, work!.bits, 0, 1e6)!, answer: random.answer('image') };
    };
    // the work's prefix is drawn with the identifier's size, so that the answer is that of the picture after it
    const [good, idle, lying, guessing] = [asked(), asked(), asked(), asked()];
    test.answer(here, good.id, good.answer, good.nonce);
    expect(codeOf(() => test.answer(here, idle.id, idle.answer))).toBe('CHALLENGE_WORK_MISSING');
    expect(codeOf(() => test.answer(here, lying.id, lying.answer, 'x'))).toBe('CHALLENGE_WORK_MISSING');
    expect(codeOf(() => test.answer(here, guessing.id, 'wrong', guessing.nonce))).toBe('CHALLENGE_WRONG');
  });

  it('can be told to leave one kind out', () => {
    const test = new HumanTest({ clock: new HandClock(), random: secureRandom, kinds: () => ['image'] });
    expect(codeOf(() => test.issue(here, 'sound'))).toBe('CHALLENGE_KIND_OFF');
    test.issue(here, 'image');
  });

  it('refuses what is no address', () => {
    const { test } = world();
    expect(codeOf(() => test.issue('somewhere', 'image'))).toBe('ADDRESS_MALFORMED');
    expect(codeOf(() => test.answer('somewhere', 'x', 'x'))).toBe('ADDRESS_MALFORMED');
  });
});
