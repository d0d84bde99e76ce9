import { describe, expect, it } from 'vitest';
import type { SiteFacts } from '../../../core/contract/preflight.ts';
import { compareSites } from '../../../core/moves/site-compatibility.ts';

const here: SiteFacts = {
  kernel: '6.18.2-amd64',
  processor: 'Some Processor',
  features: ['avx', 'avx2', 'sse2'],
  criu: '4.2.1',
  gateway: 'aa',
  images: { apache: 'one' },
  memoryAvailableBytes: 4e9,
};
const pod = { image: 'apache', memoryBytes: 60e6 };
const found = (there: Partial<SiteFacts>) =>
  compareSites(here, { ...here, ...there }, 'b1', pod).map(({ severity, code }) => `${severity} ${code}`);

describe('what keeps a pod from waking at another site', () => {
  it('is nothing at one that is alike, or better', () => {
    expect(found({})).toEqual([]);
    expect(
      found({
        features: [...here.features, 'avx512f'],
        kernel: '6.20.0',
        images: { ...here.images, x: 'y' },
      }),
    ).toEqual([]);
  });

  it.each<[string, Partial<SiteFacts>, string[]]>([
    ['a processor that lacks something', { features: ['sse2'] }, ['blocks PROCESSOR_LACKS']],
    ['no criu', { criu: null }, ['blocks CRIU_MISSING']],
    ['another criu', { criu: '4.3' }, ['warns CRIU_DIFFERS']],
    ['an older kernel', { kernel: '6.1.0-9-amd64' }, ['warns KERNEL_OLDER']],
    ['no image', { images: {} }, ['blocks IMAGE_MISSING']],
    ['another image of that name', { images: { apache: 'two' } }, ['blocks IMAGE_DIFFERS']],
    ['another gateway', { gateway: 'bb' }, ['blocks GATEWAY_DIFFERS']],
    ['too little memory', { memoryAvailableBytes: 50e6 }, ['blocks MEMORY_SHORT']],
  ])('%s', (_name, there, codes) => {
    expect(found(there)).toEqual(codes);
  });

  it('names the features and says what to do', () => {
    const [finding] = compareSites(here, { ...here, features: [] }, 'b1', pod);
    expect(finding?.message).toBe(
      'The processors of b1 lack avx, avx2, sse2, which a program may have found and use. Take a site with processors of the same or a later kind.',
    );
  });
});
