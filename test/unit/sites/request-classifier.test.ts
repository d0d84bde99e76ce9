import { expect, test } from 'vitest';
import { QuietLevels } from '../../../core/sites/attack/quiet-levels.ts';
import {
  RequestClassifier,
  type RequestEvent,
  requestClasses,
} from '../../../core/sites/attack/request-classifier.ts';
import { FigureTaker } from '../../../core/sites/attack/request-figures.ts';
import { type DirectConnection, readConnections } from '../../../core/sites/attack/request-reading.ts';

const GATEWAY = '100.64.0.3';

/** A seeded generator of numbers from 0 to 1 (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Somebody's connections: how many, what is asked a second on all of them, what each request costs, whether answered. */
interface Crowd {
  prefix: string;
  people: number;
  connectionsEach: number;
  requestsPerSecond: number;
  costMs: number;
  answered?: boolean;
  known?: boolean;
}

/** A service's pod as its counters grow, read every 400 ms. */
class Service {
  readonly classifier = new RequestClassifier();
  readonly #taker = new FigureTaker();
  readonly #random: () => number;
  readonly #open = new Map<string, DirectConnection>();
  #time = 0;
  #processorMs = 5_000;
  /** Processors that something else in the pod keeps busy, that nobody asked for. */
  chores = 0;

  constructor(seed = 1) {
    this.#random = generator(seed);
  }

  run(seconds: number, crowds: readonly Crowd[]): RequestEvent[] {
    const events: RequestEvent[] = [];
    for (let step = 0; step < seconds / 0.4; step += 1) {
      const windowMs = 400 * (0.9 + 0.6 * this.#random());
      this.#time += windowMs;
      this.#processorMs += windowMs * this.chores;
      const wanted = new Set<string>();
      for (const crowd of crowds) this.#ask(crowd, windowMs, wanted);
      for (const key of this.#open.keys()) if (!wanted.has(key)) this.#open.delete(key);
      const all = [...this.#open.values()];
      const reading = {
        at: 1_800_000_000_000 + this.#time,
        monotonic: this.#time,
        direct: all.filter(({ address }) => address !== GATEWAY),
        known: all.filter(({ address }) => address === GATEWAY),
        processorMs: Math.floor(this.#processorMs / 10) * 10,
      };
      const figures = this.#taker.take(reading, this.classifier.quiet);
      if (figures) events.push(...this.classifier.observe(figures));
    }
    return events;
  }

  get now(): number {
    return 1_800_000_000_000 + this.#time;
  }

  #ask(crowd: Crowd, windowMs: number, wanted: Set<string>): void {
    const connections = crowd.people * crowd.connectionsEach;
    const due = (crowd.requestsPerSecond * windowMs) / 1000 / Math.max(1, connections);
    for (let index = 0; index < connections; index += 1) {
      const address = crowd.known ? GATEWAY : `${crowd.prefix}.${index % crowd.people}`;
      const key = `${crowd.prefix} ${index}`;
      wanted.add(key);
      const before = this.#open.get(key);
      const asked = Math.floor(due * 2 * this.#random() + this.#random());
      this.#processorMs += asked * crowd.costMs;
      const made = (before?.segmentsIn ?? 0) + asked;
      this.#open.set(key, {
        address,
        port: 10_000 + index + (crowd.known ? 20_000 : 0),
        bytesIn: made * (crowd.answered === false ? 20 : 300),
        bytesOut: crowd.answered === false ? 0 : made * 2_000,
        segmentsIn: made,
        segmentsOut: crowd.answered === false ? 0 : made * 2,
        // What costs much is being answered for as long as that takes.
        ...(this.#random() < (asked * crowd.costMs) / windowMs ? { sentMsAgo: 5 } : {}),
      });
    }
  }
}

const people: Crowd = { prefix: '198.18.9', people: 6, connectionsEach: 1, requestsPerSecond: 12, costMs: 2 };
const overlay: Crowd = { ...people, prefix: 'overlay', people: 10, requestsPerSecond: 40, known: true };
const quiet = [people, overlay];
const attacks: Record<(typeof requestClasses)[number], Crowd> = {
  'http-flood': {
    prefix: '198.18.66',
    people: 3,
    connectionsEach: 16,
    requestsPerSecond: 1_200,
    costMs: 0.3,
  },
  'slow-http': {
    prefix: '198.18.67',
    people: 3,
    connectionsEach: 20,
    requestsPerSecond: 100,
    costMs: 0,
    answered: false,
  },
  'expensive-requests': {
    prefix: '198.18.68',
    people: 3,
    connectionsEach: 3,
    requestsPerSecond: 30,
    costMs: 70,
  },
  'honest-surge': {
    prefix: '198.18.70',
    people: 80,
    connectionsEach: 1,
    requestsPerSecond: 400,
    costMs: 1.5,
  },
};
const raised = (events: readonly RequestEvent[]) =>
  events.flatMap((event) => (event.type === 'raised' ? [event.kind] : []));

test.each(requestClasses)('%s is recognised in time, for nothing else, once, and clears', (kind) => {
  const service = new Service();
  expect(service.run(60, quiet)).toEqual([]);
  const begun = service.now;
  const events = service.run(30, [...quiet, attacks[kind]]);
  expect(raised(events)).toEqual([kind]);
  const [event] = events;
  if (event?.type !== 'raised') throw new Error('not raised');
  expect(event.detectedAt - begun).toBeLessThanOrEqual(kind === 'honest-surge' ? 5_000 : 3_000);
  expect(event.sentence).toMatch(/in quiet times/);
  expect(service.run(30, quiet)).toMatchObject([{ type: 'cleared', kind }]);
});

test('an attacker who pulses keeps his alarm, and is raised once', () => {
  const service = new Service();
  service.run(60, quiet);
  const events = [1, 2, 3, 4].flatMap(() => [
    ...service.run(4, [...quiet, attacks['http-flood']]),
    ...service.run(5, quiet),
  ]);
  expect(events).toMatchObject([{ type: 'raised', kind: 'http-flood' }]);
});

test('who lasts in an attack becomes no returning guest by it', () => {
  const service = new Service();
  service.run(60, quiet);
  const events = service.run(120, [...quiet, attacks['slow-http']]);
  expect(events).toMatchObject([{ type: 'raised', kind: 'slow-http' }]);
});

test('chores of the service are not taken for what a few strangers ask', () => {
  const service = new Service();
  service.run(60, quiet);
  service.chores = 0.8;
  const guests = { ...attacks['expensive-requests'], requestsPerSecond: 4, costMs: 2 };
  expect(service.run(60, [...quiet, guests])).toEqual([]);
});

test('known people who ask more than ever are a surge, whatever a stranger asks meanwhile', () => {
  const service = new Service();
  service.run(60, quiet);
  const guests = { ...attacks['expensive-requests'], requestsPerSecond: 4, costMs: 2 };
  expect(raised(service.run(60, [people, { ...overlay, requestsPerSecond: 400 }, guests]))).toEqual([]);
});

test('who attacks again and again does not become known by the beginnings', () => {
  const service = new Service();
  service.run(60, quiet);
  for (let round = 0; round < 12; round += 1) {
    const kinds = raised(service.run(15, [...quiet, attacks['expensive-requests']]));
    expect(kinds).toEqual(['expensive-requests']);
    service.run(30, quiet);
  }
});

test('a surge that turns out to be an attack is taken back', () => {
  const service = new Service();
  service.run(60, quiet);
  expect(raised(service.run(20, [...quiet, attacks['honest-surge']]))).toEqual(['honest-surge']);
  expect(service.run(4, [...quiet, attacks['honest-surge'], attacks['slow-http']])).toMatchObject([
    { type: 'cleared', kind: 'honest-surge' },
    { type: 'raised', kind: 'slow-http' },
  ]);
});

test('a surge that lasts becomes what is usual', () => {
  const service = new Service();
  service.run(60, quiet);
  expect(raised(service.run(60, [...quiet, attacks['honest-surge']]))).toEqual(['honest-surge']);
  expect(service.run(900, [...quiet, attacks['honest-surge']])).toMatchObject([
    { type: 'cleared', kind: 'honest-surge' },
  ]);
});

test('a service that has just arrived is learnt about before anything is raised', () => {
  const service = new Service();
  expect(service.run(2.4, [...quiet, attacks['honest-surge']])).toEqual([]);
});

test('a service that leaves takes what was raised with it', () => {
  const service = new Service();
  service.run(60, quiet);
  service.run(10, [...quiet, attacks['slow-http']]);
  expect(service.classifier.left(service.now)).toMatchObject([{ type: 'cleared', kind: 'slow-http' }]);
  expect(service.classifier.quiet).toBe(true);
});

test('what was learnt is the size of its figures, survives a restart, and cannot be taught beyond a bound', () => {
  const service = new Service();
  service.run(600, [{ ...people, requestsPerSecond: 250 }, overlay]);
  const again = new RequestClassifier(service.classifier.state());
  expect(again.threshold('requestsPerSecond')).toBe(service.classifier.threshold('requestsPerSecond'));
  expect(again.threshold('requestsPerSecond')).toBeGreaterThan(600);
  const levels = new QuietLevels(['load']);
  for (let index = 0; index < 20_000; index += 1) levels.learn('load', index % 200 === 0 ? 5_000 : 10);
  expect(levels.usual('load')).toBeGreaterThanOrEqual(10);
  expect(levels.usual('load')).toBeLessThan(12.6);
  expect(levels.readings('load')).toBeLessThanOrEqual(8_192);
});

test('the lines of ss are read, with and without IPv4 in IPv6', () => {
  const text = `0 0 [::ffff:100.64.0.2]:80 [::ffff:198.18.66.1]:40000 reno rtt:1/1 bytes_sent:20 bytes_acked:20 bytes_received:300 segs_out:3 data_segs_in:2 lastsnd:1
0 0 100.64.0.2:80 100.64.0.3:41000 reno bytes_received:7 data_segs_in:1
0 0 100.64.0.3:41000 100.64.0.2:80 reno bytes_received:9
nothing of a connection
`;
  expect(readConnections(text, [80], GATEWAY)).toEqual({
    direct: [
      { address: '198.18.66.1', port: 40_000, bytesIn: 300, bytesOut: 20, segmentsIn: 2, segmentsOut: 0 },
    ],
    known: [{ address: GATEWAY, port: 41_000, bytesIn: 7, bytesOut: 0, segmentsIn: 1, segmentsOut: 0 }],
  });
});

test('hours of quiet, surges and attacks: false alarms and misses are counted', { timeout: 60_000 }, () => {
  const counts = { hours: 0, attacks: 0, surges: 0, missed: 0, falseClasses: 0, slowestMs: 0 };
  for (let seed = 1; seed <= 4; seed += 1) {
    const service = new Service(seed);
    const random = generator(1_000 + seed);
    for (let round = 0; round < 40; round += 1) {
      const swing = 0.3 + 1.2 * random();
      const usual = quiet.map((crowd) => ({ ...crowd, requestsPerSecond: crowd.requestsPerSecond * swing }));
      counts.falseClasses += raised(service.run(60 + 60 * random(), usual)).length;
      const kind = requestClasses[Math.floor(random() * requestClasses.length)]!;
      const begun = service.now;
      const events = service.run(20, [...usual, attacks[kind]]);
      const hit = events.find((event) => event.type === 'raised' && event.kind === kind);
      counts[kind === 'honest-surge' ? 'surges' : 'attacks'] += 1;
      if (hit && kind !== 'honest-surge')
        counts.slowestMs = Math.max(counts.slowestMs, hit.detectedAt - begun);
      if (!hit) counts.missed += 1;
      counts.falseClasses += raised(events).filter((other) => other !== kind).length;
      service.run(20, usual);
    }
    counts.hours += (service.now - 1_800_000_000_000) / 3_600_000;
  }
  console.info(JSON.stringify(counts));
  expect(counts).toMatchObject({ missed: 0, falseClasses: 0 });
  expect(counts.slowestMs).toBeLessThanOrEqual(3_000);
});
