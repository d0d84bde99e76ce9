import { timingSafeEqual } from 'node:crypto';
import type { Clock } from '../../runtime/clock.ts';
import { MoveError } from '../../runtime/errors.ts';
import type { Random } from '../../runtime/random.ts';
import { AddressLimits, addressKey } from '../address-limits.ts';
import { drawLetterImage } from './letter-image.ts';
import { canonicalLetters } from './letters.ts';
import { verifyWork, type Work, workBits } from './proof-of-work.ts';
import { drawSoundRow, soundChoices } from './sound-row.ts';

/** What somebody who wants in is shown. It never holds the answer. */
export interface HumanTestChallenge {
  /** 128 random bits, base64url. */
  id: string;
  kind: 'image' | 'sound';
  mediaType: 'image/png' | 'audio/wav';
  media: Buffer;
  /** For a sound: what one may answer, three of these in the order heard, joined by commas. Else null. */
  choices: string[] | null;
  /** Under stress: work that the answer must come with, see `solveWork`. Else null. */
  work: Work | null;
  /** Milliseconds since the epoch. */
  expiresAt: number;
}

/** The bounds of {@link HumanTest}. */
export interface HumanTestBounds {
  /** Milliseconds in which a challenge may be answered. */
  lifetimeMs: number;
  /** Challenges that wait for an answer at one time, over all addresses. */
  outstanding: number;
  /** Challenges drawn a second at most, over all addresses, so that a crowd costs a bounded share of a processor. */
  perSecond: number;
  /** Challenges that an address may ask for at once. */
  burst: number;
  /** Milliseconds after which an address may ask for one more. */
  refillMs: number;
  /** How many images a sound costs, because programs that were trained for it recognise sounds. */
  soundCosts: number;
  /** How many challenges a wrong answer costs an address beside the one that it was given to. */
  wrongCosts: number;
  /** Addresses that are remembered. */
  addresses: number;
  /** The stress from which on work is asked for, and the bits there and at a stress of 1. */
  work: { threshold: number; from: number; to: number };
}

export const humanTestBounds: HumanTestBounds = {
  lifetimeMs: 180_000,
  outstanding: 4096,
  perSecond: 12,
  burst: 12,
  refillMs: 30_000,
  soundCosts: 3,
  wrongCosts: 3,
  addresses: 16_384,
  work: { threshold: 0.3, from: 14, to: 20 },
};

interface Outstanding {
  key: string;
  answer: Buffer;
  kind: HumanTestChallenge['kind'];
  work: Work | null;
  expiresAt: number;
}

/**
 * The human test (MOVE section 2.4): challenges that a person answers and a program does not. Each is bound to
 * the address that it was issued to, may be answered once, right or wrong, and expires. Who answers wrong waits
 * longer. Everything is kept in memory, within {@link HumanTestBounds}.
 */
export class HumanTest {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #stress: () => number;
  readonly #kinds: () => readonly HumanTestChallenge['kind'][];
  readonly #bounds: HumanTestBounds;
  readonly #limits: AddressLimits;
  readonly #whole: AddressLimits;
  /** Oldest first: all have the same lifetime. */
  readonly #outstanding = new Map<string, Outstanding>();

  constructor(options: {
    clock: Clock;
    random: Random;
    /** How hard pressed the access point is, from 0 to 1; asked at each issue. Default: never. */
    stress?: () => number;
    /** What is offered; asked at each issue. Default: both. */
    kinds?: () => readonly HumanTestChallenge['kind'][];
    bounds?: Partial<HumanTestBounds>;
  }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#stress = options.stress ?? (() => 0);
    this.#kinds = options.kinds ?? (() => ['image', 'sound']);
    this.#bounds = { ...humanTestBounds, ...options.bounds };
    this.#limits = new AddressLimits(options.clock, this.#bounds);
    const { perSecond } = this.#bounds;
    const whole = { burst: perSecond, refillMs: 1000 / perSecond, addresses: 1 };
    this.#whole = new AddressLimits(options.clock, whole);
  }

  /** What is offered now. */
  get kinds(): readonly HumanTestChallenge['kind'][] {
    return this.#kinds();
  }

  /**
   * Draws a challenge for `address`. Takes 10 to 20 ms of processor time, in one go.
   * @throws MoveError `CHALLENGE_RATE_LIMITED` (details: `retryAfterMs`), `CHALLENGES_EXHAUSTED` when too many
   * people ask at once (details: `retryAfterMs`), `CHALLENGE_KIND_OFF`, `ADDRESS_MALFORMED`.
   */
  issue(address: string, kind: HumanTestChallenge['kind']): HumanTestChallenge {
    const key = addressKey(address);
    if (!this.kinds.includes(kind))
      throw new MoveError(
        'CHALLENGE_KIND_OFF',
        `Tests by ${kind} are switched off here. Take one by ${this.kinds.join(' or ') || 'another way in'}.`,
        { kinds: [...this.kinds] },
      );
    const now = this.#clock.now();
    const tokens = kind === 'sound' ? this.#bounds.soundCosts : 1;
    const room = this.#roomAt(now);
    const retryAfterMs = this.#limits.take(key, tokens);
    if (retryAfterMs > 0)
      throw new MoveError(
        'CHALLENGE_RATE_LIMITED',
        `Too many tests were asked for from your address. Wait ${inSeconds(retryAfterMs)} and try again.`,
        { retryAfterMs },
      );
    const busyForMs = room > 0 ? this.#whole.take('all', 1) : room;
    if (busyForMs !== 0) {
      // who is turned away for other people's sake keeps his own tokens
      this.#limits.giveBack(key, tokens);
      throw exhausted(Math.abs(busyForMs));
    }
    return this.#draw(key, kind, now);
  }

  /**
   * Judges an answer: returns if it is right. Whatever comes of it, the challenge is used up. Letters are
   * judged without regard to case and spaces.
   * @throws MoveError `CHALLENGE_UNKNOWN` (also when it was answered before), `CHALLENGE_ADDRESS` (issued to
   * somebody else), `CHALLENGE_EXPIRED`, `CHALLENGE_WORK_MISSING`, `CHALLENGE_WRONG`, `ADDRESS_MALFORMED`.
   */
  answer(address: string, id: string, answer: string, work?: string): void {
    const key = addressKey(address);
    const challenge = this.#outstanding.get(id);
    if (!challenge)
      throw new MoveError('CHALLENGE_UNKNOWN', 'This test was answered before or never set. Take a new one.');
    this.#outstanding.delete(id);
    if (challenge.key !== key)
      throw new MoveError(
        'CHALLENGE_ADDRESS',
        'This test was set for another address than the one you answer from. Take a new one.',
      );
    if (this.#clock.now() >= challenge.expiresAt)
      throw new MoveError('CHALLENGE_EXPIRED', 'This test has expired. Take a new one.');
    if (challenge.work !== null && !verifyWork(challenge.work, work ?? ''))
      throw new MoveError(
        'CHALLENGE_WORK_MISSING',
        'So many ask at the moment that your browser has to compute something first. Allow JavaScript on this page and take a new test.',
      );
    if (same(canonical(challenge.kind, answer), challenge.answer)) return;
    this.#limits.punish(key, this.#bounds.wrongCosts);
    throw new MoveError('CHALLENGE_WRONG', 'That was not what the test says. Take a new one.');
  }

  /** How many challenges wait for an answer. */
  get outstanding(): number {
    return this.#outstanding.size;
  }

  #draw(key: string, kind: HumanTestChallenge['kind'], now: number): HumanTestChallenge {
    const id = this.#random.bytes(16).toString('base64url');
    const bits = workBits(this.#stress(), this.#bounds.work);
    const work = bits > 0 ? { prefix: this.#random.bytes(16).toString('base64url'), bits } : null;
    const expiresAt = now + this.#bounds.lifetimeMs;
    const common = { id, work, expiresAt };
    if (kind === 'image') {
      const { word, png } = drawLetterImage(this.#random);
      this.#outstanding.set(id, { key, kind, work, expiresAt, answer: canonical(kind, word) });
      return { ...common, kind, mediaType: 'image/png', media: png, choices: null };
    }
    const { heard, wav } = drawSoundRow(this.#random);
    this.#outstanding.set(id, { key, kind, work, expiresAt, answer: canonical(kind, heard.join()) });
    return { ...common, kind, mediaType: 'audio/wav', media: wav, choices: [...soundChoices] };
  }

  /**
   * Forgets challenges that expired a lifetime ago, or all expired ones where there is no room. Returns how many
   * more fit, or, negated, in how many milliseconds one more does.
   */
  #roomAt(now: number): number {
    const { outstanding, lifetimeMs } = this.#bounds;
    for (const [id, { expiresAt }] of this.#outstanding) {
      const kept = this.#outstanding.size < outstanding ? lifetimeMs : 0;
      if (expiresAt + kept > now) break;
      this.#outstanding.delete(id);
    }
    if (this.#outstanding.size < outstanding) return outstanding - this.#outstanding.size;
    const oldest = this.#outstanding.values().next();
    return oldest.done ? -lifetimeMs : Math.min(-1, Math.floor(now - oldest.value.expiresAt));
  }
}

function exhausted(retryAfterMs: number): MoveError {
  return new MoveError(
    'CHALLENGES_EXHAUSTED',
    `So many people ask for a test that there is none left. Try again in ${inSeconds(retryAfterMs)}.`,
    { retryAfterMs },
  );
}

function inSeconds(milliseconds: number): string {
  const seconds = Math.max(1, Math.ceil(milliseconds / 1000));
  return seconds === 1 ? 'a second' : `${seconds} seconds`;
}

function canonical(kind: HumanTestChallenge['kind'], answer: string): Buffer {
  // nothing that is right is longer
  const text = answer.slice(0, 256);
  if (kind === 'image') return Buffer.from(canonicalLetters(text));
  return Buffer.from(
    text
      .split(',')
      .map((part) => part.trim())
      .join(),
  );
}

function same(left: Buffer, right: Buffer): boolean {
  return left.length === right.length && timingSafeEqual(left, right);
}
