import { describe, expect, it } from 'vitest';
import {
  between,
  closerTo,
  fingerStart,
  following,
  owns,
  parseIdentifier,
  ringIdentifier,
  serviceKey,
} from '../../../core/ring/identifier.ts';

const at = (place: number): string => place.toString(16).padStart(40, '0');
const last = 'f'.repeat(40);

describe('places on the circle', () => {
  it('knows what lies between two places, across the end as well', () => {
    expect(between(at(1), at(2), at(3))).toBe(true);
    expect(between(at(1), at(3), at(3))).toBe(false);
    expect(between(at(1), at(1), at(3))).toBe(false);
    expect(between(at(9), at(1), at(3))).toBe(true);
    expect(between(at(9), at(5), at(3))).toBe(false);
    expect(between(at(5), at(6), at(5))).toBe(true);
    expect(between(at(5), at(5), at(5))).toBe(false);
  });

  it('gives a member the keys up to and with its own place', () => {
    expect(owns(at(1), at(3), at(3))).toBe(true);
    expect(owns(at(1), at(1), at(3))).toBe(false);
    expect(owns(at(4), at(4), at(4))).toBe(true);
    expect(owns(at(9), last, at(3))).toBe(true);
  });

  it('goes round the end when it counts on', () => {
    expect(following(last)).toBe(at(0));
    expect(fingerStart(at(3), 0)).toBe(at(4));
    expect(fingerStart(at(0), 159)).toBe(`8${'0'.repeat(39)}`);
    expect(fingerStart(`8${'0'.repeat(39)}`, 159)).toBe(at(0));
  });

  it('sorts by how closely places precede a key', () => {
    expect([at(9), at(2), at(5), at(6)].sort(closerTo(at(5)))).toEqual([at(2), at(9), at(6), at(5)]);
  });

  it('puts the serial that the authority chose into the identifier', () => {
    const key = Buffer.from('a public key');
    expect(ringIdentifier(key, '0a')).toBe(ringIdentifier(key, '0A'));
    expect(ringIdentifier(key, '0a')).not.toBe(ringIdentifier(key, '0b'));
    expect(ringIdentifier(key, '0a')).not.toBe(ringIdentifier(Buffer.from('another'), '0a'));
    expect(parseIdentifier(ringIdentifier(key, '0a'))).toHaveLength(40);
  });

  it('hashes hostnames without regard to case', () => {
    expect(serviceKey('Shop.Example')).toBe(serviceKey('shop.example'));
    expect(serviceKey('shop.example')).not.toBe(serviceKey('shop2.example'));
  });

  it('refuses what is no identifier', () => {
    for (const wrong of ['', 'F'.repeat(40), 'f'.repeat(39), 7, null]) {
      expect(() => parseIdentifier(wrong)).toThrow(/identifier/);
    }
  });
});
