import { expect, test } from 'vitest';
import { FloodRetreat } from '../../../core/agent/flood-retreat.ts';
import { HandClock } from '../../support/hand-clock.ts';

class Node {
  readonly clock = new HandClock();
  readonly did: string[] = [];
  going: Promise<void> = Promise.resolve();
  readonly retreat = new FloodRetreat({
    clock: this.clock,
    retreat: async () => {
      this.did.push('goes');
      await this.going;
    },
    comeBack: async () => {
      this.did.push('returns');
    },
  });

  /** Lets time pass and everything that it sets off. */
  async pass(ms: number): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.clock.turn(ms);
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** A storm of a second, and the wait until the node is back; answers how long that took. */
  async weather(): Promise<number> {
    this.retreat.alarm('udp-flood');
    await this.pass(1_000);
    this.retreat.cleared('udp-flood');
    let waited = 0;
    for (; this.retreat.away && waited < 200_000; waited += 500) await this.pass(500);
    return waited;
  }
}

test('a node goes at the first alarm and returns when it has been calm for a while', async () => {
  const node = new Node();
  expect(node.retreat.away).toBe(false);
  node.retreat.alarm('udp-flood');
  expect(node.retreat.away).toBe(true);
  await node.pass(30_000);
  expect(node.did).toEqual(['goes']);
  node.retreat.cleared('udp-flood');
  await node.pass(4_999);
  expect(node.retreat.away).toBe(true);
  await node.pass(1);
  expect(node.retreat.away).toBe(false);
  expect(node.did).toEqual(['goes', 'returns']);
});

test('an alarm that comes back in between, or another kind, keeps it away', async () => {
  const node = new Node();
  node.retreat.alarm('udp-flood');
  node.retreat.alarm('syn-flood');
  node.retreat.cleared('udp-flood');
  await node.pass(20_000);
  expect(node.retreat.away).toBe(true);
  node.retreat.cleared('syn-flood');
  await node.pass(4_000);
  node.retreat.alarm('udp-flood');
  await node.pass(20_000);
  expect(node.did).toEqual(['goes']);
  node.retreat.cleared('udp-flood');
  await node.pass(5_000);
  expect(node.did).toEqual(['goes', 'returns']);
});

test('who is flooded again soon stays away longer each time, up to a minute, and forgets it after a calm minute', async () => {
  const node = new Node();
  const waits: number[] = [];
  for (let storm = 0; storm < 6; storm += 1) {
    waits.push(await node.weather());
    await node.pass(10_000);
  }
  expect(waits).toEqual([5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
  await node.pass(60_000);
  expect(await node.weather()).toBe(5_000);
});

test('it returns only after it has gone, and not at all once it is closed', async () => {
  const node = new Node();
  const gone = Promise.withResolvers<void>();
  node.going = gone.promise;
  node.retreat.alarm('udp-flood');
  await node.pass(100);
  node.retreat.cleared('udp-flood');
  await node.pass(10_000);
  expect(node.did).toEqual(['goes']);
  gone.resolve();
  await node.pass(0);
  expect(node.did).toEqual(['goes', 'returns']);
  node.retreat.alarm('udp-flood');
  await node.pass(100);
  node.retreat.cleared('udp-flood');
  await node.retreat.close();
  await node.pass(100_000);
  expect(node.did).toEqual(['goes', 'returns', 'goes']);
  expect(node.clock.pending).toBe(0);
});
