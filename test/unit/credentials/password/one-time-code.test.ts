import { describe, expect, it } from 'vitest';
import {
  codeAt,
  codeSeconds,
  fromBase32,
  stepOfCode,
  toBase32,
} from '../../../../core/credentials/password/one-time-code.ts';

/** The secret of RFC 4226 appendix D and RFC 6238 appendix B (SHA-1). */
const secret = Buffer.from('12345678901234567890', 'latin1');

describe('one-time codes', () => {
  it.each([
    [59, '94287082'],
    [1_111_111_109, '07081804'],
    [1_111_111_111, '14050471'],
    [1_234_567_890, '89005924'],
    [2_000_000_000, '69279037'],
    [20_000_000_000, '65353130'],
  ])('are those of RFC 6238 appendix B at %i s', (seconds, code) => {
    expect(codeAt(secret, Math.floor(seconds / codeSeconds), 8)).toBe(code);
  });

  it.each(
    ['755224', '287082', '359152', '969429', '338314', '254676', '287922', '162583', '399871', '520489'].map(
      (code, counter) => [counter, code] as const,
    ),
  )('are those of RFC 4226 appendix D at count %i', (counter, code) => {
    expect(codeAt(secret, counter)).toBe(code);
  });

  it('count in their step and the one before and after, and say which it was', () => {
    const step = 1000;
    const code = codeAt(secret, step);
    const at = (other: number) => stepOfCode(secret, code, (other + 0.5) * codeSeconds * 1000);
    expect([998, 999, 1000, 1001, 1002].map(at)).toEqual([null, step, step, step, null]);
    expect(stepOfCode(secret, codeAt(secret, 0), 0)).toBe(0);
  });

  it('are six digits and nothing else', () => {
    const now = 1000 * codeSeconds * 1000;
    const code = codeAt(secret, 1000);
    for (const wrong of [
      '',
      code.slice(0, 5),
      `${code}0`,
      `${code} `,
      `${code}\n`,
      '１２３４５６',
      '\0'.repeat(6),
    ])
      expect(stepOfCode(secret, wrong, now)).toBeNull();
  });
});

describe('base32', () => {
  // RFC 4648 section 10, without padding
  it.each([
    ['', ''],
    ['f', 'MY'],
    ['fo', 'MZXQ'],
    ['foo', 'MZXW6'],
    ['foob', 'MZXW6YQ'],
    ['fooba', 'MZXW6YTB'],
    ['foobar', 'MZXW6YTBOI'],
  ])('of %j is %j, both ways', (text, coded) => {
    expect(toBase32(Buffer.from(text))).toBe(coded);
    expect(fromBase32(coded).toString()).toBe(text);
  });

  it('is refused when it is none', () => {
    for (const wrong of ['MZXW1', 'mzxw', 'MY======'])
      expect(() => fromBase32(wrong)).toThrowError(expect.objectContaining({ code: 'SECRET_MALFORMED' }));
  });
});
