import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { AttackEvent } from '../../core/sites/attack/attack-detector.ts';
import type { RequestEvent } from '../../core/sites/attack/request-classifier.ts';
import { type HostProgram, SmallLab } from './flood/small-lab.ts';

const bots = ['bot-1', 'bot-2', 'bot-3'] as const;

describe.skipIf(process.getuid?.() !== 0)('a real flood on a real congested link', () => {
  let lab: SmallLab;
  beforeAll(() => {
    lab = new SmallLab();
  });
  afterAll(() => lab.close());

  const flood = (change: object = {}) => ({
    address: lab.siteAddress,
    port: 80,
    seconds: 4,
    mbit: 20,
    ...change,
  });
  const probe = (seconds: number) => ({
    url: 'http://shop.example/',
    via: { kind: 'direct', address: lab.siteAddress, port: 80 },
    seconds,
  });
  const running = new Set<HostProgram>();
  afterEach(async () => {
    for (const program of running) {
      program.release();
      await program.ended;
    }
    running.clear();
  });
  async function site() {
    const program = lab.start('site', 'site-program.ts', []);
    running.add(program);
    await program.seen('ready');
    const events = () =>
      program.lines.filter((line) => 'type' in line && !('requests' in line)) as unknown as AttackEvent[];
    return { program, events };
  }

  test('is detected within half a second, hurts who comes directly, and clears', {
    timeout: 60_000,
  }, async () => {
    const { program, events } = await site();
    const quiet = lab.start('client-1', 'host-program.ts', ['probe'], probe(2));
    const quietSummary = (await quiet.seen('summary')).summary as { p95Ms: number; failures: number };
    quiet.release();
    expect(events()).toEqual([]);
    const senders = bots.map((bot) => lab.start(bot, 'host-program.ts', ['flood'], flood()));
    const begun = await Promise.all(
      senders.map(async (sender) => (await sender.seen('firstPacketAt')).firstPacketAt as number),
    );
    const flooded = lab.start('client-1', 'host-program.ts', ['probe'], probe(2.5));
    const floodedSummary = (await flooded.seen('summary')).summary as { p95Ms: number };
    flooded.release();
    const sent = await Promise.all(
      senders.map(
        async (sender) => (await sender.seen('summary')).summary as { offeredMbit: number; cpuMs: number },
      ),
    );
    expect(await Promise.all(senders.map((sender) => sender.ended))).toEqual([0, 0, 0]);
    const alarm = events()[0];
    if (alarm?.type !== 'alarm') throw new Error('no alarm');
    const detectedMs = alarm.alarm.detectedAt - Math.min(...begun);
    await program.seen('cleared');
    program.release();
    await program.ended;
    const { costMs } = await program.seen('costMs');
    console.info(
      JSON.stringify({
        detectedMs,
        costMs,
        quietP95Ms: quietSummary.p95Ms,
        floodedP95Ms: floodedSummary.p95Ms,
        offeredMbit: sent.map((each) => each.offeredMbit),
        cpuMs: sent.map((each) => each.cpuMs),
        evidence: alarm.alarm.evidence.sentence,
      }),
    );
    expect(detectedMs).toBeLessThanOrEqual(500);
    expect(alarm.alarm.kind).toBe('udp-flood');
    expect(events().map((event) => event.type)).toEqual(['alarm', 'cleared']);
    expect(quietSummary.failures).toBe(0);
    expect(floodedSummary.p95Ms).toBeGreaterThan(10 * quietSummary.p95Ms);
    for (const { offeredMbit } of sent) expect(offeredMbit).toBeGreaterThan(16);
    for (const { offeredMbit } of sent) expect(offeredMbit).toBeLessThan(21);
  });

  test('SYN and ICMP floods are told apart, each within half a second', { timeout: 60_000 }, async () => {
    for (const [purpose, change] of [
      ['syn-flood', { packetsPerSecond: 2000 }],
      ['icmp-flood', { mbit: 15 }],
    ] as const) {
      const { program, events } = await site();
      const { mbit: _, ...bounds } = flood({ seconds: 2 });
      const senders = bots.map((bot) =>
        lab.start(bot, 'host-program.ts', ['flood'], { ...bounds, purpose, ...change }),
      );
      const begun = await Promise.all(
        senders.map(async (sender) => (await sender.seen('firstPacketAt')).firstPacketAt as number),
      );
      const sent = await Promise.all(
        senders.map(async (sender) => (await sender.seen('summary')).summary as { packets: number }),
      );
      await program.seen('cleared');
      program.release();
      await program.ended;
      const alarm = events()[0];
      if (alarm?.type !== 'alarm') throw new Error('no alarm');
      const detectedMs = alarm.alarm.detectedAt - Math.min(...begun);
      console.info(JSON.stringify({ purpose, detectedMs, sent, evidence: alarm.alarm.evidence.sentence }));
      expect(events().map((event) => event.type)).toEqual(['alarm', 'cleared']);
      expect(alarm.alarm.kind).toBe(purpose);
      expect(detectedMs).toBeLessThanOrEqual(500);
      for (const { packets } of sent) expect(packets).toBeGreaterThan(100);
    }
  });

  test('attacks by requests are told apart, each within three seconds', { timeout: 180_000 }, async () => {
    const { program, events } = await site();
    const somebody = lab.start('client-1', 'host-program.ts', ['probe'], probe(120));
    await program.seen('learnt');
    const byRequests = () => program.lines.filter((line) => 'requests' in line) as unknown as RequestEvent[];
    expect(byRequests()).toEqual([]);
    for (const [purpose, shape] of [
      ['slow-http', { connections: 20 }],
      ['http-flood', { connections: 16, requestsPerSecond: 400 }],
      ['expensive-requests', { connections: 3, requestsPerSecond: 6 }],
    ] as const) {
      const before = byRequests().length;
      const request = { purpose, address: lab.siteAddress, port: 80, seconds: 6, ...shape };
      const path = purpose === 'expensive-requests' ? '/search' : '/note';
      const senders = bots.map((bot) =>
        lab.start(bot, 'host-program.ts', ['web-attack'], {
          request,
          shape: { path, hostname: 'shop.example' },
        }),
      );
      const begun = await Promise.all(
        senders.map(async (sender) => (await sender.seen('firstPacketAt')).firstPacketAt as number),
      );
      const sent = await Promise.all(senders.map(async (sender) => (await sender.seen('summary')).summary));
      const told = byRequests().slice(before);
      const alarm = told[0];
      console.info(JSON.stringify({ purpose, sent, told }));
      if (alarm?.type !== 'raised') throw new Error('no alarm');
      expect(told.map((event) => event.kind)).toEqual([purpose]);
      expect(alarm.detectedAt - Math.min(...begun)).toBeLessThanOrEqual(3_000);
      // It clears 10 s after the last sign.
      await expect
        .poll(
          () =>
            byRequests()
              .slice(before)
              .map((event) => event.type),
          { timeout: 20_000 },
        )
        .toEqual(['raised', 'cleared']);
    }
    expect(events()).toEqual([]);
    somebody.release();
    program.release();
    await program.ended;
  });

  test('an honest surge, down or up, fills the link and raises no alarm', { timeout: 60_000 }, async () => {
    for (const uploadBytes of [0, 200_000]) {
      const { program, events } = await site();
      await program.seen('watched');
      const options = {
        request: { address: lab.siteAddress, port: 80, seconds: 5, connections: 24 },
        shape: { path: uploadBytes > 0 ? '/page' : '/file', hostname: 'shop.example', uploadBytes },
      };
      const surge = lab.start('client-1', 'host-program.ts', ['surge'], options);
      const { summary } = await surge.seen('summary');
      program.release();
      await program.ended;
      const { peakInMbit, peakOutMbit } = await program.seen('peakInMbit');
      console.info(JSON.stringify({ uploadBytes, peakInMbit, peakOutMbit, summary }));
      expect(uploadBytes > 0 ? peakInMbit : peakOutMbit).toBeGreaterThan(15);
      expect(events()).toEqual([]);
      // It may be seen as what it is, and as nothing else.
      const taken = program.lines.filter((line) => 'requests' in line).map(({ kind }) => kind);
      expect(taken.filter((kind) => kind !== 'honest-surge')).toEqual([]);
      expect((summary as { failures: number }).failures).toBe(0);
    }
  });

  test('a sender stops when its standard input closes, and on SIGTERM', { timeout: 30_000 }, async () => {
    for (const stop of ['release', 'kill'] as const) {
      const sender = lab.start('bot-1', 'host-program.ts', ['flood'], flood({ seconds: 60, mbit: 5 }));
      await sender.seen('firstPacketAt');
      const asked = performance.now();
      if (stop === 'release') sender.release();
      else sender.child.kill('SIGTERM');
      const { summary } = await sender.seen('summary');
      expect(performance.now() - asked).toBeLessThan(1000);
      expect(summary).toMatchObject({ ended: 'stopped' });
      expect(await sender.ended).toBe(0);
    }
  });

  test('a flood is refused from a host that is no bot, and at any other target', {
    timeout: 60_000,
  }, async () => {
    for (const [host, change] of [
      ['client-1', { purpose: 'icmp-flood' }],
      ['bot-1', { purpose: 'icmp-flood', address: '8.8.8.8' }],
      ['client-1', {}],
      ['site', {}],
      ['bot-1', { address: '198.18.100.1' }],
      ['bot-1', { address: '198.18.66.2' }],
      ['bot-1', { address: '169.254.1.1' }],
      ['bot-1', { address: '127.0.0.1' }],
      ['bot-1', { address: '8.8.8.8' }],
      ['bot-1', { seconds: 61 }],
      ['bot-1', { mbit: 1000 }],
    ] as const) {
      const sender = lab.start(host, 'host-program.ts', ['flood'], flood(change));
      expect(await sender.ended).toBe(3);
      expect(sender.lines).toEqual([
        { ready: true },
        { error: expect.objectContaining({ code: 'FLOOD_REFUSED' }) },
      ]);
    }
  });
});
