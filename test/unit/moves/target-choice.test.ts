import { describe, expect, it } from 'vitest';
import type { Site } from '../../../core/contract/domain.ts';
import { chooseTarget } from '../../../core/moves/target-choice.ts';
import { seededRandom } from '../../../core/runtime/random.ts';

const site = (id: string, more: Partial<Site> = {}) =>
  ({ id, isp: id[0], reach: 'up', attacked: false, pods: [], ...more }) as Site;

/** Every site that is drawn in many draws. */
function drawn(sites: readonly Site[], from = 'a1'): string[] {
  const random = seededRandom(7);
  const found = new Set<string>();
  for (let draw = 0; draw < 200; draw += 1) found.add(chooseTarget(sites, from, random).id);
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

  it('is never full, attacked, silent or where the service is', () => {
    const sites = [
      site('a1'),
      site('a2', { attacked: true }),
      site('b1', { reach: 'down' }),
      site('b2', { pods: ['1', '2', '3', '4'] }),
    ];
    expect(() => chooseTarget(sites, 'a1', seededRandom(1))).toThrowError(
      expect.objectContaining({
        code: 'NO_TARGET',
        details: {
          passed: {
            a1: 'the service is there now',
            a2: 'it is attacked',
            b1: 'it does not answer',
            b2: 'it runs 4 services already',
          },
        },
      }),
    );
  });
});
