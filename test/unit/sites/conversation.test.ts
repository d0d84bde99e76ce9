import { expect, test } from 'vitest';
import { Conversation } from '../../../core/sites/attack/conversation.ts';
import { FigureTaker } from '../../../core/sites/attack/request-figures.ts';
import type { DirectConnection } from '../../../core/sites/attack/request-reading.ts';

const connection = (change: Partial<DirectConnection> = {}): DirectConnection => ({
  address: '198.18.66.1',
  port: 40_000,
  bytesIn: 0,
  bytesOut: 0,
  segmentsIn: 0,
  segmentsOut: 0,
  ...change,
});

test('requests are turns: asked and answered, also when the answer comes a reading later', () => {
  const talk = new Conversation(connection(), 0, true);
  expect(talk.take(connection({ bytesIn: 900, segmentsIn: 3, bytesOut: 9_000, segmentsOut: 9 }), 400)).toBe(
    3,
  );
  const asked = { bytesIn: 1_200, segmentsIn: 4, bytesOut: 9_000, segmentsOut: 9 };
  expect(talk.take(connection(asked), 800)).toBe(0);
  expect(talk.isServed).toBe(true);
  expect(talk.take(connection({ ...asked, bytesOut: 400_000, segmentsOut: 280 }), 1_200)).toBe(1);
});

test('an upload is one request, however many segments it takes and whatever is answered', () => {
  const talk = new Conversation(connection(), 0, true);
  const sent = { bytesIn: 1_000_000, segmentsIn: 700 };
  expect(talk.take(connection({ ...sent, bytesOut: 50_000, segmentsOut: 40 }), 400)).toBe(1);
});

test('an upload that is slow is not held, a request that drips is, and one that waits for its answer, asked again, is not', () => {
  const upload = new Conversation(connection(), 0, true);
  upload.take(connection({ bytesIn: 8_000, segmentsIn: 6 }), 2_000);
  expect(upload.isDripping(2_000)).toBe(false);
  const drip = new Conversation(connection(), 0, true);
  drip.take(connection({ bytesIn: 70, segmentsIn: 1 }), 500);
  drip.take(connection({ bytesIn: 72, segmentsIn: 3 }), 1_000);
  expect(drip.isDripping(1_000)).toBe(true);
  const waits = new Conversation(connection(), 0, true);
  waits.take(connection({ bytesIn: 70, segmentsIn: 1 }), 400);
  waits.take(connection({ bytesIn: 70, segmentsIn: 4 }), 5_000);
  expect(waits.isDripping(5_000)).toBe(false);
  expect(waits.isEmpty(5_000)).toBe(false);
});

test('a connection that was answered and then drips is held as well, and an idle one is not', () => {
  const talk = new Conversation(connection(), 0, true);
  const answered = { bytesIn: 300, segmentsIn: 1, bytesOut: 2_000, segmentsOut: 2 };
  talk.take(connection(answered), 400);
  expect(talk.isDripping(9_000)).toBe(false);
  expect(talk.isEmpty(9_000)).toBe(false);
  talk.take(connection({ ...answered, bytesIn: 305, segmentsIn: 6 }), 8_500);
  talk.take(connection({ ...answered, bytesIn: 310, segmentsIn: 11 }), 9_000);
  expect(talk.isDripping(9_000)).toBe(true);
});

test('what was there before the first reading is nothing new, and a port that is used again begins anew', () => {
  const old = connection({ bytesIn: 300_000, segmentsIn: 1_000, bytesOut: 2_000_000, segmentsOut: 2_000 });
  const talk = new Conversation(old, 0, false);
  expect(talk.take(old, 0)).toBe(0);
  expect(talk.continues(connection())).toBe(false);
});

const reading = (monotonic: number, direct: DirectConnection[]) => ({
  at: monotonic,
  monotonic,
  direct,
  known: [],
  processorMs: 0,
});

test('of each address two connections without a byte are what browsers open ahead', () => {
  const taker = new FigureTaker();
  const open = (address: string, count: number) =>
    Array.from({ length: count }, (_, index) => connection({ address, port: 1_000 + index }));
  const all = [...open('198.18.70.1', 2), ...open('198.18.70.2', 2), ...open('198.18.66.1', 20)];
  taker.take(reading(0, []), true);
  taker.take(reading(400, all), true);
  expect(taker.take(reading(2_400, all), true)).toMatchObject({ heldConnections: 18, strangers: 3 });
});

test('a page with a hundred pictures is no rate: rates are means over seconds', () => {
  const taker = new FigureTaker();
  taker.take(reading(0, []), true);
  const page = connection({ bytesIn: 30_000, segmentsIn: 100, bytesOut: 900_000, segmentsOut: 700 });
  const figures = taker.take(reading(400, [page]), true);
  expect(figures?.busiestStrangerPerSecond).toBeCloseTo(100 / 2.4);
});
