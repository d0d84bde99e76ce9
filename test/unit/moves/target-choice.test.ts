import { describe, expect, it } from 'vitest';
import type { Site } from '../../../core/contract/domain.ts';
import { chooseTarget, type TargetQuestion } from '../../../core/moves/target-choice.ts';
import { seededRandom } from '../../../core/runtime/random.ts';

const site = (id: string, more: Partial<Site> = {}) =>
  ({ id, isp: id[0], reach: 'up', attacked: false, pods: [], ...more }) as Site;

const ask = (sites: readonly Site[], more: Partial<TargetQuestion> = {}): TargetQuestion => ({
  sites,
  services: [],
  service: 'shop',
  from: 'a1',
  ...more,
});

/** Every site that is drawn in many draws. */
function drawn(sites: readonly Site[], more: Partial<TargetQuestion> = {}): string[] {
  const random = seededRandom(7);
  const found = new Set<string>();
  for (let draw = 0; draw < 200; draw += 1) found.add(chooseTarget(ask(sites, more), random).site.id);
  return [...found].sort();
}

describe('the site that a service moves to', () => {
  it('is an empty one of another ISP where there is one', () => {
    const sites = [
      site('a1', { pods: ['x'] }),
      site('a2'),
      site('b1'),
      site('b2', { pods: ['y'] }),
      site('c1'),
    ];
    expect(drawn(sites)).toEqual(['b1', 'c1']);
  });

  it('is an empty one of the same ISP before one that runs a service', () => {
    expect(drawn([site('a1'), site('a2'), site('b1', { pods: ['y'] })])).toEqual(['a2']);
  });

  it('is one that runs others where all do, so that several services can move', () => {
    const busy = { pods: ['y', 'z'] };
    expect(drawn([site('a1'), site('a2', busy), site('b1', busy), site('b2', busy)])).toEqual(['b1', 'b2']);
  });

  it('is drawn evenly: nobody can tell which', () => {
    const sites = [site('a1'), site('b1'), site('b2'), site('c1'), site('c2')];
    const random = seededRandom(3);
    const counts: Record<string, number> = {};
    for (let draw = 0; draw < 4_000; draw += 1) {
      const { site: one, among } = chooseTarget(ask(sites), random);
      expect(among).toBe(4);
      counts[one.id] = (counts[one.id] ?? 0) + 1;
    }
    for (const id of ['b1', 'b2', 'c1', 'c2']) expect(Math.abs((counts[id] ?? 0) - 1_000)).toBeLessThan(120);
  });

  it('is not one that was attacked lately while another is there', () => {
    const sites = [site('a1'), site('a2'), site('b1')];
    expect(drawn(sites, { lately: new Set(['b1']) })).toEqual(['a2']);
    expect(drawn(sites, { lately: new Set(['a2', 'b1']) })).toEqual(['b1']);
  });

  it('is the one that is kept current with the service, unless it cannot be used or was attacked lately', () => {
    const sites = [site('a1'), site('a2', { pods: ['y'] }), site('b1'), site('c1')];
    const services = [
      { id: 'shop', site: 'a1', capacity: { processors: 1, memoryMb: 100, reservedAt: ['b1'] } },
    ];
    expect(drawn(sites, { spare: 'a2', services })).toEqual(['a2']);
    expect(drawn(sites, { spare: 'a2', lately: new Set(['a2']) })).toEqual(['b1', 'c1']);
    expect(drawn(sites, { spare: 'a2', passedOver: { a2: 'it said no' } })).toEqual(['b1', 'c1']);
    const flooded = sites.map((one) => (one.id === 'a2' ? { ...one, attacked: true } : one));
    expect(drawn(flooded, { spare: 'a2' })).toEqual(['b1', 'c1']);
    expect(drawn(sites, { spare: null })).toEqual(['b1', 'c1']);
  });

  it('is where capacity was agreed in advance, and else taken on demand; it says which', () => {
    const sites = [site('a1'), site('a2'), site('b1'), site('c1')];
    const services = [
      { id: 'shop', site: 'a1', capacity: { processors: 1, memoryMb: 100, reservedAt: ['a2'] } },
    ];
    expect(chooseTarget(ask(sites, { services }), seededRandom(1))).toMatchObject({
      site: { id: 'a2' },
      basis: 'agreed',
      among: 1,
    });
    const flooded = [site('a1'), site('a2', { attacked: true }), site('b1'), site('c1')];
    expect(chooseTarget(ask(flooded, { services }), seededRandom(1))).toMatchObject({
      basis: 'on demand',
      among: 2,
    });
  });

  it('keeps what is reserved for others, and what a site does not offer', () => {
    const small = { pods: 2, processors: 1, memoryMb: 128 };
    const reserved = { processors: 0.25, memoryMb: 64, reservedAt: ['b1'] };
    const services = [
      { id: 'shop', site: 'a1' },
      { id: 'other', site: 'c1', capacity: reserved },
      { id: 'large', site: 'a1', capacity: { processors: 2, memoryMb: 64, reservedAt: [] } },
    ];
    const sites = [
      site('a1'),
      site('b1', { offers: small, pods: ['third'] }),
      site('c1', { offers: small, pods: ['other'] }),
    ];
    expect(drawn(sites, { services })).toEqual(['c1']);
    expect(() => chooseTarget(ask(sites, { services, service: 'large' }), seededRandom(1))).toThrowError(
      expect.objectContaining({
        details: {
          passed: {
            a1: 'the service is there now',
            b1: 'it runs 1 of 2 services already, and keeps some for others by agreement',
            c1: 'it offers 1 processors',
          },
        },
      }),
    );
  });

  it('is never full, attacked, silent, refused or where the service is', () => {
    const sites = [
      site('a1'),
      site('a2', { attacked: true }),
      site('b1', { reach: 'down' }),
      site('b2', { pods: ['1', '2', '3', '4'] }),
      site('c1'),
    ];
    expect(() =>
      chooseTarget(ask(sites, { passedOver: { c1: 'it was asked and said no' } }), seededRandom(1)),
    ).toThrowError(
      expect.objectContaining({
        code: 'NO_TARGET',
        details: {
          passed: {
            a1: 'the service is there now',
            a2: 'it is attacked',
            b1: 'it does not answer',
            b2: 'it runs 4 of 4 services already',
            c1: 'it was asked and said no',
          },
        },
      }),
    );
  });
});
