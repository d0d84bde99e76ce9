import { describe, expect, it } from 'vitest';
import { AddressLimits, addressKey } from '../../../core/credentials/address-limits.ts';
import { HandClock } from '../../support/hand-clock.ts';

describe('what counts as one address', () => {
  it('is an IPv4 address, in whatever form a socket reports it', () => {
    expect(addressKey('192.0.2.7')).toBe('192.0.2.7');
    expect(addressKey('::ffff:192.0.2.7')).toBe('192.0.2.7');
    expect(addressKey('192.0.2.8')).not.toBe(addressKey('192.0.2.7'));
  });

  it('is the /64 of an IPv6 address, in whatever spelling', () => {
    const key = addressKey('2001:db8:0:12::1');
    expect(addressKey('2001:0DB8:0000:0012:aaaa:bbbb:cccc:dddd')).toBe(key);
    expect(addressKey('2001:db8:0:13::1')).not.toBe(key);
    expect(addressKey('2001:db8::12:0:0:1')).not.toBe(key);
    expect(addressKey('fe80::1%eth0')).toBe(addressKey('fe80::2'));
    expect(addressKey('::1')).toBe('0:0:0:0::/64');
  });

  it('is nothing that is no address', () => {
    for (const text of ['', 'localhost', '192.0.2', '192.0.2.7:80', '[::1]', 'x'.repeat(5000)])
      expect(() => addressKey(text)).toThrowError(expect.objectContaining({ code: 'ADDRESS_MALFORMED' }));
  });
});

describe('limits by address', () => {
  const bounds = { burst: 3, refillMs: 1000, addresses: 4 };

  it('give a burst, then one token after the other', () => {
    const clock = new HandClock();
    const limits = new AddressLimits(clock, bounds);
    expect([1, 2, 3].map(() => limits.take('a', 1))).toEqual([0, 0, 0]);
    expect(limits.take('a', 1)).toBe(1000);
    clock.turn(400);
    expect(limits.take('a', 1)).toBe(600);
    clock.turn(600);
    expect(limits.take('a', 1)).toBe(0);
    expect(limits.take('a', 1)).toBe(1000);
    expect(limits.take('b', 1)).toBe(0);
  });

  it('never gather more than a burst', () => {
    const clock = new HandClock();
    const limits = new AddressLimits(clock, bounds);
    limits.take('a', 1);
    clock.turn(1_000_000);
    expect(limits.take('a', 3)).toBe(0);
    expect(limits.take('a', 1)).toBe(1000);
  });

  it('let a punished address wait longer, but not for ever', () => {
    const limits = new AddressLimits(new HandClock(), bounds);
    limits.take('a', 3);
    limits.punish('a', 2);
    expect(limits.take('a', 1)).toBe(3000);
    for (let time = 0; time < 50; time += 1) limits.punish('a', 2);
    expect(limits.take('a', 1)).toBe(4000);
  });

  it('remember a bounded number of addresses, those seen last', () => {
    const limits = new AddressLimits(new HandClock(), bounds);
    limits.take('kept', 3);
    for (let other = 0; other < 100; other += 1) {
      limits.take(`other ${other}`, 1);
      expect(limits.take('kept', 1)).toBe(1000);
    }
    expect(limits.size).toBe(4);
    for (let other = 0; other < 4; other += 1) limits.take(`another ${other}`, 1);
    expect(limits.take('kept', 1)).toBe(0);
  });
});
