import { beforeEach, describe, expect, it } from 'vitest';
import { dialFirst } from '../../../core/overlay/forwarder/dial-first.ts';
import { LinkVigil, type WatchedLink } from '../../../core/overlay/forwarder/link-vigil.ts';
import { MoveError } from '../../../core/runtime/errors.ts';
import { HandClock } from '../../support/hand-clock.ts';

let clock: HandClock;
beforeEach(() => {
  clock = new HandClock();
});

describe('the vigil over a link', () => {
  let link: { -readonly [Name in keyof WatchedLink]: WatchedLink[Name] };
  let told: string[];
  let answers: boolean;
  let vigil: LinkVigil;
  beforeEach(() => {
    told = [];
    answers = true;
    link = {
      heard: 0,
      sent: 0,
      streamCount: 0,
      isOpen: true,
      rttMs: 2,
      ping() {
        told.push('ping');
        if (answers) link.heard += 1;
      },
    };
    vigil = new LinkVigil({
      link,
      clock,
      doubted: () => told.push('doubted'),
      suspected: () => told.push('suspected'),
      recovered: () => told.push('recovered'),
      looked: () => undefined,
    });
  });

  it('leaves a link alone that nobody uses, and one whose far end answers pings but is slow with the rest', () => {
    answers = false;
    clock.turn(60_000);
    expect(told).toEqual([]);
    answers = true;
    link.streamCount = 1;
    link.sent += 1;
    clock.turn(9_000);
    expect(told).not.toContain('suspected');
    // What was sent long ago is no use of the link any more.
    clock.turn(2_000);
    told.length = 0;
    clock.turn(30_000);
    expect(told).toEqual([]);
  });

  it('suspects within half a second what is used and silent, and takes it back when it is heard', () => {
    clock.turn(20_000);
    answers = false;
    link.streamCount = 1;
    link.sent += 1;
    clock.turn(500);
    expect(told).toEqual(['ping', 'doubted', 'ping', 'suspected']);
    expect(vigil.isSuspect).toBe(true);
    link.heard += 1;
    clock.turn(100);
    expect(told.at(-1)).toBe('recovered');
    expect(vigil.isSuspect).toBe(false);
  });

  it('waits for two round trips where the other end is far away', () => {
    answers = false;
    link.rttMs = 700;
    link.streamCount = 1;
    link.sent += 1;
    clock.turn(1_400);
    expect(told).not.toContain('suspected');
    clock.turn(200);
    expect(told).toContain('suspected');
  });

  it('looks closely at an idle link when it is asked to', () => {
    answers = false;
    vigil.ask();
    clock.turn(300);
    expect(vigil.isInDoubt).toBe(true);
    clock.turn(200);
    expect(vigil.isSuspect).toBe(true);
  });

  it('ends with its link', () => {
    clock.turn(100);
    link.isOpen = false;
    clock.turn(100);
    link.streamCount = 1;
    link.sent += 1;
    clock.turn(5_000);
    expect(told).toEqual([]);
  });
});

describe('dialling several addresses', () => {
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  const plan = (dial: (address: string, signal: AbortSignal) => Promise<string>) => {
    const letGone: string[] = [];
    const dialled: string[] = [];
    const result = dialFirst<string>({
      addresses: ['one', 'two', 'three'],
      clock,
      letGo: (address) => letGone.push(address),
      dial: (address, signal) => {
        dialled.push(address);
        return dial(address, signal);
      },
    });
    result.catch(() => undefined);
    return { result, dialled, letGone };
  };

  it('goes to the next at once when one refuses, and after 200 ms when one is silent', async () => {
    const silent = new Promise<string>(() => undefined);
    const { result, dialled } = plan((address) => {
      if (address === 'one') return Promise.reject(new MoveError('LINK_UNREACHABLE', 'refused'));
      return address === 'two' ? silent : Promise.resolve(address);
    });
    await settle();
    expect(dialled).toEqual(['one', 'two']);
    clock.turn(199);
    expect(dialled).toEqual(['one', 'two']);
    clock.turn(1);
    await expect(result).resolves.toBe('three');
  });

  it('lets go of one that answers too late, and tells the error that says most', async () => {
    const late = Promise.withResolvers<string>();
    const first = plan((address) => (address === 'one' ? late.promise : Promise.resolve(address)));
    clock.turn(200);
    await expect(first.result).resolves.toBe('two');
    late.resolve('one');
    await settle();
    expect(first.letGone).toEqual(['one']);

    const codes: Record<string, string> = {
      one: 'CERTIFICATE_REVOKED',
      two: 'LINK_UNREACHABLE',
      three: 'DEADLINE_EXCEEDED',
    };
    const second = plan((address) => Promise.reject(new MoveError(codes[address]!, address)));
    await expect(second.result).rejects.toMatchObject({ code: 'CERTIFICATE_REVOKED' });
    await expect(
      dialFirst({ addresses: [], clock, letGo: () => undefined, dial: () => Promise.resolve('') }),
    ).rejects.toMatchObject({ code: 'ACCESS_POINT_MISSING' });
  });
});
