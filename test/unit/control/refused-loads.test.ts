import { PassThrough } from 'node:stream';
import { afterEach, expect, test, vi } from 'vitest';
import { RefusedLoads } from '../../../core/control/refused-loads.ts';
import { MoveError } from '../../../core/runtime/errors.ts';

type Options = ConstructorParameters<typeof RefusedLoads>[0];
type Entry = Parameters<Options['recorder']['record']>[0];

const line = (target: string, at: number) =>
  `${JSON.stringify({ at, purpose: 'udp-flood', target, message: 'This load is refused.' })}\n`;

/** One host whose notes stay where they are, and a journal that outlives what reads them. */
class World {
  readonly journal: Entry[] = [];
  readonly logged: string[] = [];
  notes = '';
  reachable = true;
  starts = 0;
  #connection: { out: PassThrough; end: () => void } | undefined;
  #running: RefusedLoads | undefined;

  start(): void {
    this.#running?.stop();
    this.#running = new RefusedLoads({
      hosts: () => ['bot-1'],
      fleet: {
        connection: async () => {
          if (!this.reachable) throw new MoveError('HOST_UNREACHABLE', 'bot-1 cannot be reached.');
          return { start: async () => this.#program() };
        },
      },
      journal: { records: () => this.journal.map(({ data }) => ({ data: data ?? {} })) },
      recorder: { record: (entry: Entry) => this.journal.push(entry) },
      log: (text: string) => this.logged.push(text),
    } as unknown as Options);
    this.#running.start();
  }

  /** Somebody on the host is refused. */
  refuse(target: string, at: number): void {
    this.say(line(target, at));
  }

  say(text: string): void {
    this.notes += text;
    this.#connection?.out.write(text);
  }

  cut(): void {
    this.#connection?.end();
    this.#connection = undefined;
  }

  stop(): void {
    this.#running?.stop();
    this.cut();
  }

  targets(): string[] {
    return this.journal.map(({ data }) => `${data?.target} ${data?.at}`);
  }

  #program() {
    this.starts += 1;
    const out = new PassThrough();
    const exited = Promise.withResolvers<null>();
    const end = () => {
      out.end();
      exited.resolve(null);
    };
    this.#connection = { out, end };
    out.write(this.notes);
    return {
      stdin: new PassThrough(),
      stdout: out,
      stderr: new PassThrough(),
      exited: exited.promise,
      kill: end,
    };
  }
}

let world: World;
afterEach(() => world.stop());

test('a refusal on a host is journalled with its host, its target and its reason', async () => {
  world = new World();
  world.start();
  await vi.waitFor(() => expect(world.starts).toBe(1));
  world.refuse('8.8.8.8', 1_000);
  await vi.waitFor(() => expect(world.journal).toHaveLength(1));
  expect(world.journal[0]).toMatchObject({
    type: 'flood.refused',
    tone: 'attack',
    subject: 'bot-1',
    text: 'bot-1 refused to send to 8.8.8.8: This load is refused.',
    data: { code: 'FLOOD_REFUSED', host: 'bot-1', target: '8.8.8.8', at: 1_000 },
  });
});

test('who tries again and again is journalled once in a while', async () => {
  world = new World();
  world.start();
  await vi.waitFor(() => expect(world.starts).toBe(1));
  for (const at of [0, 2_000, 9_999, 10_000, 12_000]) world.refuse('8.8.8.8', at);
  world.refuse('192.0.2.1', 12_001);
  await vi.waitFor(() => expect(world.targets()).toContain('192.0.2.1 12001'));
  expect(world.targets()).toEqual(['8.8.8.8 0', '8.8.8.8 10000', '192.0.2.1 12001']);
});

test('what a restarted control plane finds noted is told once, and nothing twice', async () => {
  world = new World();
  world.start();
  await vi.waitFor(() => expect(world.starts).toBe(1));
  for (const at of [0, 5_000]) world.refuse('8.8.8.8', at);
  await vi.waitFor(() => expect(world.journal).toHaveLength(1));
  world.stop();
  world.refuse('192.0.2.1', 60_000);
  world.start();
  await vi.waitFor(() => expect(world.journal).toHaveLength(2));
  world.start();
  await vi.waitFor(() => expect(world.starts).toBe(3));
  world.refuse('192.0.2.9', 70_000);
  await vi.waitFor(() => expect(world.targets()).toContain('192.0.2.9 70000'));
  expect(world.targets()).toEqual(['8.8.8.8 0', '192.0.2.1 60000', '192.0.2.9 70000']);
});

test('a host that is lost is followed again, from the beginning', async () => {
  vi.useFakeTimers();
  try {
    world = new World();
    world.reachable = false;
    world.start();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(world.starts).toBe(0);
    world.notes = line('8.8.8.8', 1_000);
    world.reachable = true;
    await vi.advanceTimersByTimeAsync(3_000);
    world.cut();
    world.notes += line('192.0.2.1', 2_000);
    await vi.advanceTimersByTimeAsync(3_000);
    expect(world.targets()).toEqual(['8.8.8.8 1000', '192.0.2.1 2000']);
    world.stop();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(world.starts).toBe(2);
  } finally {
    vi.useRealTimers();
  }
});

test('a note that is no note ends nothing', async () => {
  world = new World();
  world.start();
  await vi.waitFor(() => expect(world.starts).toBe(1));
  world.say('{"at":"yesterday"}\nnonsense\n');
  world.refuse('8.8.8.8', 1_000);
  await vi.waitFor(() => expect(world.journal).toHaveLength(1));
  expect(world.logged).toHaveLength(2);
});
