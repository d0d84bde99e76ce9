import { expect, test } from 'vitest';
import { AttackDetector, type AttackEvent } from '../../../core/sites/attack/attack-detector.ts';
import type { LinkSample } from '../../../core/sites/attack/link-sample.ts';

/** Traffic on a link in one direction of time: rates in Mbit/s and packets a second. */
interface Traffic {
  tcpInMbit?: number;
  tcpOutMbit?: number;
  udpInMbit?: number;
  icmpInMbit?: number;
  /** Share of the UDP packets that a firewall drops before the socket lookup. */
  firewalled?: number;
  cookiesSent?: number;
  cookiesReceived?: number;
}

const PERIOD_MS = 25;
const START = 1_800_000_000_000;

/** A site's counters as they grow under traffic: 20 Mbit/s link, 1214-byte UDP and 1514-byte TCP frames. */
class Counters {
  #time = 0;
  #state = {
    receivedBytes: 1e9,
    receivedPackets: 1e6,
    sentBytes: 1e9,
    sentPackets: 1e6,
    udpUnwanted: 500,
    icmpReceived: 40,
    ipReceived: 1e6,
    ipUsed: 1e6 - 20,
    synCookiesSent: 3,
    synCookiesReceived: 3,
  };

  run(ms: number, traffic: Traffic, jitter: (index: number) => number = () => 0): LinkSample[] {
    const samples: LinkSample[] = [];
    for (let index = 0; index < ms / PERIOD_MS; index += 1) {
      const passed = PERIOD_MS + jitter(index);
      const packets = (mbit: number, size: number) => Math.round((mbit * 1e6 * passed) / 1000 / 8 / size);
      const tcpIn = packets(traffic.tcpInMbit ?? 0, 1514);
      const tcpOut = packets(traffic.tcpOutMbit ?? 0, 1514);
      const udp = packets(traffic.udpInMbit ?? 0, 1214);
      const icmp = packets(traffic.icmpInMbit ?? 0, 1214);
      const dropped = Math.round(udp * (traffic.firewalled ?? 0));
      const acksIn = Math.ceil(tcpOut / 2);
      const state = this.#state;
      state.receivedBytes += tcpIn * 1514 + (udp + icmp) * 1214 + acksIn * 66;
      state.receivedPackets += tcpIn + udp + icmp + acksIn;
      state.sentBytes += tcpOut * 1514 + Math.ceil(tcpIn / 2) * 66;
      state.sentPackets += tcpOut + Math.ceil(tcpIn / 2);
      state.udpUnwanted += udp - dropped;
      state.icmpReceived += icmp;
      state.ipReceived += tcpIn + udp + icmp + acksIn;
      state.ipUsed += tcpIn + udp + icmp + acksIn - dropped;
      state.synCookiesSent += Math.round(((traffic.cookiesSent ?? 0) * passed) / 1000);
      state.synCookiesReceived += Math.round(((traffic.cookiesReceived ?? 0) * passed) / 1000);
      this.#time += passed;
      samples.push({ at: START + this.#time, monotonic: 5000 + this.#time, ...state });
    }
    return samples;
  }
}

const feed = (detector: AttackDetector, samples: LinkSample[]): AttackEvent[] =>
  samples.flatMap((sample) => detector.observe(sample));
const quiet: Traffic = { tcpInMbit: 0.3, tcpOutMbit: 4 };

test('a UDP flood raises one alarm within 100 ms, with its figures', () => {
  const detector = new AttackDetector({ capacityMbit: 20 });
  const counters = new Counters();
  expect(feed(detector, counters.run(2000, quiet))).toEqual([]);
  const events = feed(detector, counters.run(8000, { udpInMbit: 19.5, tcpInMbit: 0.2 }));
  expect(events).toHaveLength(1);
  const event = events[0]!;
  if (event.type !== 'alarm') throw new Error('not an alarm');
  expect(event.alarm.kind).toBe('udp-flood');
  expect(event.alarm.severity).toBe('critical');
  expect(event.alarm.firstEvidenceAt).toBe(START + 2000);
  expect(event.alarm.detectedAt - (START + 2000)).toBeLessThanOrEqual(100);
  expect(event.alarm.evidence.utilisation).toBeGreaterThan(0.75);
  expect(event.alarm.evidence.unsolicitedShare).toBeGreaterThan(0.9);
  expect(event.alarm.evidence.sentence).toMatch(/of its 20 Mbit\/s/);
  expect(detector.active).toEqual([event.alarm]);
});

for (const [name, traffic] of [
  ['an ICMP flood', { icmpInMbit: 19 }],
  ['a UDP flood that a firewall drops', { udpInMbit: 19, firewalled: 1 }],
] as const) {
  test(`${name} raises the alarm too`, () => {
    const detector = new AttackDetector({ capacityMbit: 20 });
    const counters = new Counters();
    feed(detector, counters.run(500, quiet));
    expect(feed(detector, counters.run(500, traffic)).map((event) => event.type)).toEqual(['alarm']);
  });
}

for (const [name, traffic] of [
  ['a quiet minute', quiet],
  ['a download surge', { tcpOutMbit: 20, tcpInMbit: 0.5 }],
  ['an upload surge', { tcpInMbit: 20 }],
  [
    'a surge of both with some stray UDP and ICMP',
    { tcpInMbit: 18, tcpOutMbit: 20, udpInMbit: 0.5, icmpInMbit: 0.5 },
  ],
  ['much stray UDP on a link that is not full', { udpInMbit: 12 }],
  [
    'an honest crowd whose handshakes need SYN cookies',
    { tcpInMbit: 6, cookiesSent: 900, cookiesReceived: 850 },
  ],
] as const) {
  test(`${name} raises no alarm`, () => {
    const detector = new AttackDetector({ capacityMbit: 20 });
    const counters = new Counters();
    const uneven = (index: number) => [0, 9, -12, 30, -5][index % 5]!;
    expect(feed(detector, counters.run(60_000, traffic, uneven))).toEqual([]);
    expect(detector.active).toEqual([]);
  });
}

test('a burst shorter than the window raises no alarm', () => {
  const detector = new AttackDetector({ capacityMbit: 20 });
  const counters = new Counters();
  for (let round = 0; round < 20; round += 1) {
    expect(feed(detector, counters.run(50, { udpInMbit: 20 }))).toEqual([]);
    expect(feed(detector, counters.run(500, quiet))).toEqual([]);
  }
});

test('a flood that comes and goes is one alarm, cleared 2 s after its last sign', () => {
  const detector = new AttackDetector({ capacityMbit: 20 });
  const counters = new Counters();
  const samples: LinkSample[] = [];
  for (let pulse = 0; pulse < 6; pulse += 1) {
    samples.push(...counters.run(1000, { udpInMbit: 19.5 }), ...counters.run(1500, quiet));
  }
  samples.push(...counters.run(5000, quiet));
  const events = feed(detector, samples);
  expect(events.map((event) => event.type)).toEqual(['alarm', 'cleared']);
  const cleared = events[1]!;
  if (cleared.type !== 'cleared') throw new Error('not cleared');
  const lastSign = START + 5 * 2500 + 1000;
  expect(cleared.cleared.clearedAt - lastSign).toBeGreaterThanOrEqual(2000);
  expect(cleared.cleared.clearedAt - lastSign).toBeLessThanOrEqual(2200);
  expect(feed(detector, counters.run(500, { udpInMbit: 19.5 })).map((event) => event.type)).toEqual([
    'alarm',
  ]);
});

test('a SYN flood raises its own alarm, as a warning while the link holds', () => {
  const detector = new AttackDetector({ capacityMbit: 20 });
  const counters = new Counters();
  feed(detector, counters.run(500, quiet));
  const events = feed(detector, counters.run(500, { tcpInMbit: 2, cookiesSent: 4000, cookiesReceived: 10 }));
  expect(events).toMatchObject([{ type: 'alarm', alarm: { kind: 'syn-flood', severity: 'warning' } }]);
});

test('uneven sampling on a busy machine neither hides a flood nor invents one', () => {
  const uneven = (index: number) => [0, 60, -20, 200, -24, 5][index % 6]!;
  const flooded = new Counters();
  const detector = new AttackDetector({ capacityMbit: 20 });
  feed(detector, flooded.run(1000, quiet, uneven));
  expect(feed(detector, flooded.run(1000, { udpInMbit: 19 }, uneven)).map((event) => event.type)).toEqual([
    'alarm',
  ]);
});

test('a restart of the counters, a clock that stands still and a long gap raise nothing', () => {
  const detector = new AttackDetector({ capacityMbit: 20 });
  const before = new Counters().run(500, { tcpInMbit: 10 });
  const restarted = new Counters().run(500, quiet).map((sample) => ({
    ...sample,
    monotonic: sample.monotonic + 600,
    receivedBytes: sample.receivedBytes - 9e8,
    ipReceived: sample.ipReceived - 9e5,
  }));
  expect(feed(detector, [...before, before.at(-1)!, ...restarted])).toEqual([]);
  const late = restarted.at(-1)!;
  const afterGap = {
    ...late,
    monotonic: late.monotonic + 60_000,
    receivedBytes: late.receivedBytes + 1e9,
    udpUnwanted: 1e6,
  };
  expect(detector.observe(afterGap)).toEqual([]);
});

test('ICMP that fills the link is an ICMP flood and no UDP flood', () => {
  const detector = new AttackDetector({ capacityMbit: 20 });
  const counters = new Counters();
  expect(feed(detector, counters.run(2000, quiet))).toEqual([]);
  const events = feed(detector, counters.run(2000, { icmpInMbit: 18, udpInMbit: 1, tcpInMbit: 0.2 }));
  expect(events).toMatchObject([{ type: 'alarm', alarm: { kind: 'icmp-flood', severity: 'critical' } }]);
});
