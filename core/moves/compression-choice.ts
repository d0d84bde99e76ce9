import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import { systemClock } from '../runtime/clock.ts';

/** Levels of zstd (RFC 8878) that are tried; 0 stands for none. */
const levels = [1, 3, 6, 9] as const;
export const plainLevel = 0;
/** Where nothing was measured: fast on every processor, and most of what compression gives. */
export const unmeasuredLevel = 3;
/** A slower level has to be better by so much of the time. */
const worthwhile = 0.03;
/** Less than this says nothing about what a link carries. */
const measuredFromBytes = 1 << 16;

const compress = promisify(zstdCompress);

/** What a link was seen to carry, in bytes a second; null where so little went that it says nothing. */
export function measuredRate(wireBytes: number, seconds: number): number | null {
  return wireBytes < measuredFromBytes ? null : wireBytes / Math.max(0.001, seconds);
}

/** What one level makes of this state on this processor. */
export interface LevelMeasure {
  level: number;
  /** Compressed by uncompressed size. */
  ratio: number;
  /** Uncompressed bytes a second. */
  bytesPerSecond: number;
}

/**
 * Tries every level on a sample of the state, on the processor that will compress it and beside everything that it
 * has to do at this moment.
 */
export async function measureLevels(sample: Buffer, signal: AbortSignal): Promise<LevelMeasure[]> {
  const measures: LevelMeasure[] = [
    { level: plainLevel, ratio: 1, bytesPerSecond: Number.POSITIVE_INFINITY },
  ];
  for (const level of levels) {
    signal.throwIfAborted();
    const begun = systemClock.monotonic();
    const { length } = await compress(sample, { params: { [constants.ZSTD_c_compressionLevel]: level } });
    const seconds = Math.max(1e-6, (systemClock.monotonic() - begun) / 1000);
    measures.push({ level, ratio: length / sample.length, bytesPerSecond: sample.length / seconds });
  }
  return measures;
}

/**
 * The level by which a state is at the other end soonest. Compressing and sending go on at the same time, so the
 * slower of them counts. `linkBytesPerSecond` is what the link was seen to carry.
 */
export function chooseLevel(measures: readonly LevelMeasure[], linkBytesPerSecond: number | null): number {
  if (linkBytesPerSecond === null || measures.length === 0) return unmeasuredLevel;
  const secondsAByte = ({ ratio, bytesPerSecond }: LevelMeasure) =>
    Math.max(1 / bytesPerSecond, ratio / linkBytesPerSecond);
  const sorted = [...measures].sort((left, right) => left.level - right.level);
  let best = sorted[0]!;
  for (const measure of sorted)
    if (secondsAByte(measure) < secondsAByte(best) * (1 - worthwhile)) best = measure;
  return best.level;
}
