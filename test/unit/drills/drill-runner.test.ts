import { expect, test } from 'vitest';
import { type DrillPlan, planDrill } from '../../../core/drills/drill-plan.ts';
import type { DrillEvent, DrillPorts } from '../../../core/drills/drill-ports.ts';
import { runDrill } from '../../../core/drills/drill-runner.ts';
import type { DrillAlarm } from '../../../core/drills/judge-drill.ts';
import type { ProbeSample } from '../../../core/measure/probe-sample.ts';
import { MoveError } from '../../../core/runtime/errors.ts';
import { drillClock, moveAt } from './drill-world.ts';

const plan = planDrill({
  kind: 'udp-flood',
  service: 'shop.example',
  site: 'a1',
  senders: ['bot-1', 'bot-2'],
});

/** A world in which everything goes well unless a test says otherwise, and which notes what is still running. */
class World {
  readonly clock = drillClock();
  readonly events: DrillEvent[] = [];
  readonly running = new Set<string>();
  floodStartedAt = Number.POSITIVE_INFINITY;
  overlayShape = (_at: number): Partial<ProbeSample> => ({});
  moves = true;
  nodeReturns = true;
  preparation = async (_signal: AbortSignal): Promise<readonly string[]> => [];
  #alarm: ((alarm: DrillAlarm) => void) | undefined;

  readonly ports: DrillPorts = {
    clock: this.clock,
    prepare: async (signal) => {
      this.running.add('preparation');
      try {
        return await this.preparation(signal);
      } finally {
        this.running.delete('preparation');
      }
    },
    startProbe: async (way, onSample) => {
      this.running.add(way);
      const tick = () => {
        if (!this.running.has(way)) return;
        const at = this.clock.now();
        const flooded = at >= this.floodStartedAt;
        const shape = way === 'overlay' ? this.overlayShape(at) : { durationMs: flooded ? 400 : 5 };
        onSample({ startedAt: at, durationMs: 5, outcome: 'ok', ...shape });
        this.clock.after(10, tick);
      };
      tick();
      return {
        stop: async () => {
          this.running.delete(way);
        },
      };
    },
    armLoad: async (sender) => this.load(sender),
    watchAlarms: (onAlarm) => {
      this.#alarm = onAlarm;
      this.running.add('alarms');
      return () => this.running.delete('alarms');
    },
    awaitMove: (_since, signal) =>
      new Promise((resolve, reject) => {
        this.running.add('move');
        signal.addEventListener('abort', () => {
          this.running.delete('move');
          reject(new MoveError('CANCELLED', 'The wait was cancelled.'));
        });
        if (!this.moves) return;
        const check = () => {
          if (this.clock.now() > this.floodStartedAt + 700) {
            this.running.delete('move');
            resolve({ decidedAt: this.floodStartedAt + 150, move: moveAt(this.floodStartedAt + 300) });
          } else if (!signal.aborted) this.clock.after(50, check);
        };
        check();
      }),
    awaitReturn: (since, signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(new MoveError('CANCELLED', 'The wait was cancelled.')));
        if (!this.nodeReturns) return;
        const [detectedAt, retreatedAt, returnedAt] = [since + 200, since + 600, since + 15_000] as const;
        this.clock.after(15_000, () => resolve({ detectedAt, retreatedAt, left: true, returnedAt }));
      }),
    ringViolations: async () => 0,
    tell: (event) => this.events.push(event),
  };

  load(sender: string) {
    this.running.add(sender);
    const first = Promise.withResolvers<number>();
    const finished = Promise.withResolvers<{
      firstPacketAt: number;
      lastPacketAt: number;
      offeredMbit: number;
    }>();
    const begin = () => {
      const firstPacketAt = this.clock.now();
      this.floodStartedAt = Math.min(this.floodStartedAt, firstPacketAt);
      first.resolve(firstPacketAt);
      this.clock.after(110, () => this.#alarm?.({ detectedAt: this.clock.now(), kind: 'udp-flood' }));
      this.clock.after(8000, () => {
        this.running.delete(sender);
        finished.resolve({ firstPacketAt, lastPacketAt: firstPacketAt + 8000, offeredMbit: 20 });
      });
    };
    const stop = async () => {
      this.running.delete(sender);
    };
    return { begin, firstPacketAt: first.promise, finished: finished.promise, stop };
  }

  states(): string[] {
    return this.events.flatMap((event) => (event.type === 'state' ? [event.state] : []));
  }

  run(signal: AbortSignal = new AbortController().signal, what: DrillPlan = plan) {
    return this.clock.until(runDrill(what, this.ports, signal));
  }
}

test('a drill goes through its phases, judges, and leaves nothing running', async () => {
  const world = new World();
  const report = await world.run();
  expect(report.hypothesis.filter((statement) => !statement.held)).toEqual([]);
  expect(report).toMatchObject({ verdict: true, detectedMs: 110, decidedMs: 150 });
  expect(report.attack).toMatchObject({ bots: ['bot-1', 'bot-2'], offeredMbit: 40, seconds: 8 });
  expect(world.states()).toEqual(['preparing', 'quiet', 'attack', 'tail', 'judged']);
  expect([...world.running]).toEqual([]);
});

test('a move that never comes is a finding, not a fault', async () => {
  const world = new World();
  world.moves = false;
  const report = await world.run();
  expect(report.verdict).toBe(false);
  expect(report.outageMs).toBeNull();
  expect(report.notes.join()).toMatch(/No move/);
  expect([...world.running]).toEqual([]);
});

test('a quiet minute sends nothing and waits for no move', async () => {
  const world = new World();
  world.moves = false;
  const quiet = planDrill({ kind: 'quiet-minute', service: 'shop.example', site: 'a1' });
  const report = await world.run(undefined, quiet);
  expect(report).toMatchObject({ verdict: true, alarms: 0, attack: { kind: 'none' } });
  expect([...world.running]).toEqual([]);
});

const nodeFlood = planDrill({
  kind: 'node-flood',
  service: 'shop.example',
  site: 'node-4',
  senders: ['bot-1', 'bot-2'],
});

test('a node flood waits for the node to return, and expects no move', async () => {
  const world = new World();
  world.moves = false;
  const report = await world.run(undefined, nodeFlood);
  expect(report.hypothesis.filter((statement) => !statement.held)).toEqual([]);
  expect(report).toMatchObject({ verdict: true, detectedMs: 200, outageMs: null });
  expect(report.attack).toMatchObject({ kind: 'node-flood', targetSite: 'node-4', bots: ['bot-1', 'bot-2'] });
  expect([...world.running]).toEqual([]);
});

test('a node that does not return, or a ring that is broken, fails a node flood', async () => {
  const world = new World();
  world.moves = false;
  world.nodeReturns = false;
  world.ports.ringViolations = async () => 2;
  const report = await world.run(undefined, nodeFlood);
  expect(report.verdict).toBe(false);
  expect(report.hypothesis.filter((statement) => !statement.held).map(({ measured }) => measured)).toEqual([
    null,
    2,
    null,
  ]);
  expect([...world.running]).toEqual([]);
});

test('a move in an honest surge is noticed, and fails it', async () => {
  const world = new World();
  const surge = planDrill({
    kind: 'honest-surge',
    service: 'shop.example',
    site: 'a1',
    senders: ['client-1'],
  });
  const report = await world.run(undefined, surge);
  expect(report.verdict).toBe(false);
  expect(report.hypothesis.filter((statement) => !statement.held).map((statement) => statement.unit)).toEqual(
    ['alarms', 'moves'],
  );
});

test('what had to be done first is done before anybody asks, and is said in the report', async () => {
  const world = new World();
  world.preparation = (signal) => {
    expect([...world.running]).toEqual(['alarms', 'preparation']);
    return new Promise((resolve, reject) => {
      world.clock.after(3_000, () => resolve(['The service was brought home from b1 first.']));
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  };
  const begunAt = world.clock.now();
  const report = await world.run();
  expect(report.notes).toEqual(['The service was brought home from b1 first.']);
  expect(report.startedAt).toBeGreaterThanOrEqual(begunAt + 3_000);
  expect(report.verdict).toBe(true);
});

test('a drill that cannot be prepared sends nothing, and says why', async () => {
  const world = new World();
  world.preparation = async () => {
    throw new MoveError('TARGET_UNUSABLE', 'a1 does not answer. Choose another site.');
  };
  await expect(world.run()).rejects.toMatchObject({ code: 'TARGET_UNUSABLE' });
  expect(world.states()).toEqual(['preparing', 'failed']);
  expect(world.floodStartedAt).toBe(Number.POSITIVE_INFINITY);
  expect([...world.running]).toEqual([]);
});

test('the emergency stop ends the preparation, and nothing follows it', async () => {
  const world = new World();
  const emergency = new AbortController();
  world.preparation = (signal) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
      world.clock.after(1_000, () => emergency.abort('the emergency stop was pressed.'));
    });
  await expect(world.run(emergency.signal)).rejects.toMatchObject({ code: 'DRILL_ABORTED' });
  expect(world.states()).toEqual(['preparing', 'aborted']);
  expect([...world.running]).toEqual([]);
});

test('the quiet phase waits until right answers follow one another', async () => {
  const world = new World();
  const begunAt = world.clock.now();
  world.overlayShape = (at) =>
    at < begunAt + 2_000 && (at - begunAt) % 100 === 0 ? { outcome: 'timeout' } : {};
  const report = await world.run();
  expect(report.startedAt).toBeGreaterThanOrEqual(begunAt + 2_000);
  expect(report.overlay.failures).toBe(0);
});

for (const [name, atMs] of [
  ['before it begins', -1],
  ['in the quiet phase', 1000],
  ['in the flood', 5000],
  ['in the tail', 13_000],
] as const) {
  test(`the emergency stop ${name} ends everything, and says so`, async () => {
    const world = new World();
    const emergency = new AbortController();
    const stop = () => emergency.abort('the emergency stop was pressed.');
    if (atMs < 0) stop();
    else world.clock.after(atMs, stop);
    await expect(world.run(emergency.signal)).rejects.toMatchObject({
      code: 'DRILL_ABORTED',
      message: expect.stringContaining('emergency stop'),
    });
    expect(world.states().at(-1)).toBe('aborted');
    expect([...world.running]).toEqual([]);
  });
}

test('too many failures through the overlay stop the drill', async () => {
  const world = new World();
  world.overlayShape = (at) => (at >= world.floodStartedAt ? { outcome: 'reset' } : {});
  await expect(world.run()).rejects.toMatchObject({ code: 'DRILL_STOPPED' });
  expect(world.states().at(-1)).toBe('failed');
  expect([...world.running]).toEqual([]);
});

test('a service that does not answer even in quiet is no service to flood', async () => {
  const world = new World();
  world.overlayShape = () => ({ outcome: 'refused' });
  await expect(world.run()).rejects.toMatchObject({ code: 'DRILL_STOPPED' });
  expect(world.floodStartedAt).toBe(Number.POSITIVE_INFINITY);
  expect([...world.running]).toEqual([]);
});

test('a sender that the guard refused fails the drill with its own words, and stops the others', async () => {
  const world = new World();
  world.ports.armLoad = async (sender) => {
    if (sender === 'bot-2') throw new MoveError('FLOOD_REFUSED', 'This load is refused.');
    return world.load(sender);
  };
  await expect(world.run()).rejects.toMatchObject({ code: 'FLOOD_REFUSED' });
  expect([...world.running]).toEqual([]);
});

test('a sender that never sends its first packet is not waited for without end', async () => {
  const world = new World();
  world.ports.armLoad = async (sender) => {
    const load = world.load(sender);
    return sender === 'bot-2' ? { ...load, firstPacketAt: new Promise<number>(() => undefined) } : load;
  };
  await expect(world.run()).rejects.toMatchObject({
    code: 'DRILL_STOPPED',
    message: expect.stringContaining('first packet'),
  });
  expect([...world.running]).toEqual([]);
});

test('plans out of bounds are refused', () => {
  const base = { kind: 'udp-flood', service: 'shop.example', site: 'a1', senders: ['bot-1'] } as const;
  for (const change of [
    { senders: [] },
    { loadMs: 60_001 },
    { mbitEach: 201 },
    { quietMs: 0 },
    { tailMs: -1 },
  ]) {
    expect(() => planDrill({ ...base, ...change })).toThrow(
      expect.objectContaining({ code: 'DRILL_INVALID' }),
    );
  }
});
