import { type HumanTestBounds, type HumanTestChallenge, humanTestBounds } from './human-test.ts';

/** What is known about somebody who passes human tests by program. */
export interface Attacker {
  /** Tests that his program was tried on, and those that it solved. */
  tried: number;
  solved: number;
  /** Processor time of his program for one test, milliseconds. */
  processorMs: number;
}

/** What passing the human test costs, in what an attacker has to have. */
export interface PriceTag {
  /** The share of tests that he solves; and no more than this one, with 95% confidence. */
  solveRate: number;
  solveRateAtMost: number;
  /** What follows from the pessimistic rate: */
  attemptsPerAddressHour: number;
  passesPerAddressHour: number;
  /** Hours until one address has passed, on average. */
  hoursPerPass: number;
  /** The share of his addresses that are admitted at any time, when they do nothing but try. */
  shareAdmitted: number;
  processorSecondsPerPass: number;
  /** Seconds that a person takes, as it was assumed, with those for failed attempts. */
  personSeconds: number;
}

/**
 * The price of passing: by a program at the measured rate within the bounds of {@link humanTestBounds}, beside a
 * person's seconds. A pass lasts `admittedMs` and holds for one address, so that what an attacker needs is
 * addresses and time. `person`: seconds for a test and the share of tests that a person gets right.
 */
export function priceTag(
  attacker: Attacker,
  person: { secondsPerTest: number; rightShare: number },
  options: { bounds?: HumanTestBounds; admittedMs?: number; kind?: HumanTestChallenge['kind'] } = {},
): PriceTag {
  const bounds = options.bounds ?? humanTestBounds;
  const admittedHours = (options.admittedMs ?? 30 * 60_000) / 3_600_000;
  const solveRate = attacker.tried === 0 ? 0 : attacker.solved / attacker.tried;
  const solveRateAtMost = upperBound(attacker.solved, attacker.tried);
  const testCosts = options.kind === 'sound' ? bounds.soundCosts : 1;
  const attemptsPerAddressHour =
    3_600_000 / bounds.refillMs / (testCosts + bounds.wrongCosts * (1 - solveRateAtMost));
  const passesPerAddressHour = attemptsPerAddressHour * solveRateAtMost;
  const hoursPerPass = 1 / passesPerAddressHour;
  return {
    solveRate,
    solveRateAtMost,
    attemptsPerAddressHour,
    passesPerAddressHour,
    hoursPerPass,
    shareAdmitted: admittedHours / (admittedHours + hoursPerPass),
    processorSecondsPerPass: attacker.processorMs / 1000 / solveRateAtMost,
    personSeconds: person.secondsPerTest / person.rightShare,
  };
}

/** The upper end of Wilson's score interval (one-sided, 95%); of nothing tried, 1. */
function upperBound(solved: number, tried: number): number {
  if (tried === 0) return 1;
  const z = 1.645;
  const share = solved / tried;
  const spread = z * Math.sqrt((share * (1 - share) + (z * z) / (4 * tried)) / tried);
  return Math.min(1, (share + (z * z) / (2 * tried) + spread) / (1 + (z * z) / tried));
}
