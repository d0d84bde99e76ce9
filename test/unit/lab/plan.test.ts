import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { productFile } from '../../../core/lab/paths.ts';
import { planLab, stoneAddress } from '../../../core/lab/plan.ts';
import { parseLabSpec } from '../../../core/lab/spec.ts';

const spec = parseLabSpec(readFileSync(productFile('core/lab/default-spec.yaml'), 'utf8'), 'default');
const plan = planLab(spec, 'delayd');

describe('the plan of the default lab', () => {
  it('gives every host addresses that nobody else has', () => {
    const addresses = plan.hosts.flatMap(({ ports }) => ports.map(({ address }) => address));
    expect(plan.hosts).toHaveLength(23);
    expect(addresses).toHaveLength(32);
    expect(new Set(addresses).size).toBe(addresses.length);
  });

  it('keeps secondary and internal addresses in 10/8, and all others in the test block', () => {
    for (const { ports } of plan.hosts) {
      for (const { link, address } of ports) {
        const inside = link === 'secondary' || link === 'internal';
        expect(address.startsWith(inside ? '10.' : '198.18.')).toBe(true);
      }
    }
  });

  it('has round trips from 1 to 40 ms, 10 ms between the first two ISPs', () => {
    const between = spec.isps.flatMap(({ name }) =>
      Object.entries(plan.roundTripMs[name] ?? {}).flatMap(([to, ms]) => (to === name ? [] : [ms])),
    );
    expect(Math.min(...between)).toBe(1);
    expect(Math.max(...between)).toBe(40);
    expect(plan.roundTripMs.a?.b).toBe(10);
  });

  it('names no interface longer than the kernel allows', () => {
    for (const line of plan.links) {
      for (const [, name] of line.matchAll(/name (\S+)/g)) expect(name!.length).toBeLessThanOrEqual(15);
    }
  });

  it('shapes both ends of every host link, by packets and not by bytes', () => {
    const queues = [...plan.netns.values()]
      .flatMap(({ tc }) => tc)
      .filter((line) => line.includes('pfifo limit'));
    expect(queues).toHaveLength(64);
    expect([...plan.netns.values()].flatMap(({ tc }) => tc).join()).not.toContain('bfifo');
  });

  it('makes wires only for delayd, and netem queues only for netem', () => {
    expect(plan.wires).toHaveLength(7);
    const kernel = planLab(spec, 'netem');
    expect(kernel.wires).toHaveLength(0);
    const queues = [...kernel.netns.values()]
      .flatMap(({ tc }) => tc)
      .filter((line) => line.includes('netem'));
    expect(queues).toHaveLength(14);
  });
});

describe('stone addresses', () => {
  it('do not come back for four rotations and never collide within an ISP', () => {
    const seen = [0, 1, 2, 3, 4].flatMap((turn) => [0, 1, 19].map((stone) => stoneAddress(0, stone, turn)));
    expect(new Set(seen).size).toBe(seen.length);
    expect(stoneAddress(0, 0, 5)).toBe(stoneAddress(0, 0, 0));
  });
});
