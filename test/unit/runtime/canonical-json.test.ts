import { describe, expect, it } from 'vitest';
import { canonicalJson } from '../../../core/runtime/canonical-json.ts';

describe('canonical JSON (RFC 8785)', () => {
  it('writes the example of RFC 8785 section 3.2.2', () => {
    const value = {
      numbers: [Number('333333333.33333329'), 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
      string: '\u20ac$\u000F\u000aA\'\u0042\u0022\u005c\\"/',
      literals: [null, true, false],
    };
    expect(canonicalJson(value)).toBe(
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    );
  });

  it('sorts names by UTF-16 code units, as section 3.2.3 shows', () => {
    const value = {
      '\u20ac': 'Euro Sign',
      '\r': 'Carriage Return',
      '\ufb33': 'Hebrew Letter Dalet With Dagesh',
      '1': 'One',
      '\ud83d\ude00': 'Emoji: Grinning Face',
      '\u0080': 'Control',
      '\u00f6': 'Latin Small Letter O With Diaeresis',
    };
    const names = [...canonicalJson(value).matchAll(/"((?:[^"\\]|\\.)*)":/g)].map((match) => match[1]);
    expect(names).toEqual(['\\r', '1', '\u0080', 'ö', '€', '😀', '\ufb33']);
  });

  it('does not depend on the order in which properties were set, and drops undefined ones', () => {
    expect(canonicalJson({ b: 1, a: { d: undefined, c: -0 } })).toBe(canonicalJson({ a: { c: 0 }, b: 1 }));
  });

  it.each([
    ['NaN', { a: Number.NaN }],
    ['infinity', [Number.POSITIVE_INFINITY]],
    ['bigint', { a: 1n }],
    ['undefined in an array', [undefined]],
    ['a hole in an array', new Array(1)],
    ['a date', { at: new Date(0) }],
    ['bytes', { bytes: Buffer.from('a') }],
    ['a function', { run: () => 1 }],
    ['half a surrogate pair', { a: '\ud800' }],
  ])('refuses %s', (_name, value) => {
    expect(() => canonicalJson(value)).toThrow(expect.objectContaining({ code: 'VALUE_NOT_JSON' }));
  });

  it('refuses a cycle instead of exhausting the stack', () => {
    const cycle: Record<string, unknown> = {};
    cycle.self = cycle;
    expect(() => canonicalJson(cycle)).toThrow(expect.objectContaining({ code: 'VALUE_NOT_JSON' }));
  });
});
