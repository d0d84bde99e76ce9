import { describe, expect, it } from 'vitest';
import { addressGroup } from '../../../core/runtime/address-group.ts';
import type { DoorLimitOptions, DoorPass } from '../../../core/runtime/door-limits.ts';
import { DoorLimits } from '../../../core/runtime/door-limits.ts';
import { HandClock } from '../../support/hand-clock.ts';

describe('whom limits take for one', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:0db8:0001:0002::', '2001:db8:1:2::/64'],
    ['2001:db8::5', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['64:ff9b::192.0.2.7', '64:ff9b:0:0::/64'],
    ['a pipe', 'unknown'],
    [undefined, 'unknown'],
  ])('%s is of %s', (address, group) => expect(addressGroup(address)).toBe(group));
});

const clock = () => new HandClock();
const limits = (options: Partial<DoorLimitOptions> = {}) =>
  new DoorLimits({
    each: { perSecond: 2, burst: 4, pending: 3, established: 2 },
    whole: { perSecond: 40, burst: 400, pending: 40, established: 8 },
    addresses: 1000,
    knownForMs: 60_000,
    clock: clock(),
    ...options,
  });
const pass = (given: DoorPass | string): DoorPass => {
  if (typeof given === 'string') throw new Error(`refused: ${given}`);
  return given;
};

describe('limits of a door', () => {
  it('refuse an address that comes too often, and let it in again later', () => {
    const time = clock();
    const door = limits({ clock: time });
    for (let index = 0; index < 4; index += 1) pass(door.admit('192.0.2.1')).release();
    expect(door.admit('192.0.2.1')).toBe('rate');
    pass(door.admit('192.0.2.2'));
    time.turn(500);
    pass(door.admit('192.0.2.1'));
    expect(door.admit('192.0.2.1')).toBe('rate');
  });

  it('count what has not shown who it is, and what has, until it is gone', () => {
    const door = limits();
    const passes = [1, 2, 3].map(() => pass(door.admit('192.0.2.1')));
    expect(door.admit('192.0.2.1')).toBe('pending');
    expect(passes.map((each) => each.establish())).toEqual([true, true, false]);
    expect(door.counts).toMatchObject({ pending: 1, established: 2 });
    for (const each of passes) {
      each.release();
      each.release();
    }
    expect(door.counts).toMatchObject({ pending: 0, established: 0, addresses: 1 });
  });

  it('keep room for addresses that have nothing yet, and for known ones', () => {
    const door = limits({ isKnown: (address) => address === '198.51.100.1' });
    const each = (net: string, count: number) =>
      Array.from({ length: count }, (_, index) => door.admit(`${net}.${index + 1}`));
    // Twenty addresses hold one each; a second for any of them would be the 21st of 40: more than half of 30.
    expect(each('192.0.2', 20).filter((given) => typeof given === 'string')).toEqual([]);
    expect(door.admit('192.0.2.1')).toBe('pending');
    expect(each('203.0.113', 12).filter((given) => given === 'pending')).toHaveLength(2);
    pass(door.admit('198.51.100.1'));
  });

  it('let known addresses in while a thousand strangers use up the rate of all', () => {
    const time = clock();
    const door = limits({ clock: time });
    const friend = pass(door.admit('198.51.100.1'));
    expect(friend.establish()).toBe(true);
    friend.release();
    time.turn(5_000);
    let refused = 0;
    for (let index = 0; index < 1000; index += 1) {
      const given = door.admit(`10.0.${index >> 8}.${index & 255}`);
      if (typeof given === 'string') refused += 1;
      else given.release();
    }
    expect(refused).toBe(700);
    pass(door.admit('198.51.100.1'));
  });

  it('leave the last places among the established to addresses that have none', () => {
    const door = limits({ each: { perSecond: 100, burst: 100, pending: 50, established: 50 } });
    const establish = (address: string) => pass(door.admit(address)).establish();
    expect(Array.from({ length: 7 }, () => establish('192.0.2.1'))).toEqual([
      ...Array.from({ length: 6 }, () => true),
      false,
    ]);
    expect([establish('192.0.2.2'), establish('192.0.2.3'), establish('192.0.2.4')]).toEqual([
      true,
      true,
      false,
    ]);
  });

  it('remember a bounded number of addresses, whoever comes, and stay fair', () => {
    const time = clock();
    const door = limits({
      clock: time,
      addresses: 50,
      whole: { perSecond: 1e6, burst: 1e6, pending: 1e6, established: 1e6 },
    });
    const mischief = Array.from({ length: 20_000 }, (_, index) =>
      door.admit(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`),
    );
    // Fifty have entries of their own; the crowd of all others shares 64 entries with three unfinished each.
    expect(mischief.filter((given) => typeof given !== 'string')).toHaveLength(50 + 64 * 3);
    expect(door.counts.addresses).toBe(50 + 64);
    for (const given of mischief) if (typeof given !== 'string') given.release();
    time.turn(10_000);
    // Those who left and would be treated like new ones make room.
    expect(Array.from({ length: 4 }, () => typeof door.admit('192.0.2.9'))).toEqual([
      'object',
      'object',
      'object',
      'string',
    ]);
    expect(door.counts.addresses).toBeLessThanOrEqual(50 + 64);
  });
});
