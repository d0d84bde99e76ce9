import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ServiceDescription } from '../../../core/contract/agent-contract.ts';
import type { Site } from '../../../core/contract/domain.ts';
import { applyChanges, type Change } from '../../../core/contract/state.ts';
import type { JournalEntry } from '../../../core/control/recorder.ts';
import { Services } from '../../../core/control/services-control.ts';
import { StateStore } from '../../../core/control/state-store.ts';
import { productFile } from '../../../core/lab/paths.ts';
import { MoveError } from '../../../core/runtime/errors.ts';
import { drillClock } from '../drills/drill-world.ts';

const numbers = readFileSync(productFile('assets/services/numbers.yaml'), 'utf8');
const library = readFileSync(productFile('assets/services/library.yaml'), 'utf8');
const sites = ['a1', 'b1', 'c1'];

type Parts = ConstructorParameters<typeof Services>[2];

/** Sites that start and stop pods in memory, and a journal that a later control plane can be made from. */
class World {
  readonly clock = drillClock();
  readonly entries: JournalEntry[] = [];
  /** What runs, by site: each service's epoch. */
  readonly pods: Record<string, Record<string, number>> = { a1: {}, b1: {}, c1: {} };
  readonly seated: string[] = [];
  readonly storage = new Set<string>();
  readonly written: string[] = [];
  /** What the sites' certificates name. */
  certified: readonly string[] = [];
  refusal: MoveError | null = null;
  silent: string | null = null;
  /** Sites whose pods a move left frozen. */
  readonly frozen = new Set<string>();
  store = new StateStore();
  descriptions = new Map<string, ServiceDescription>();
  services: Services = this.begin();

  /** A control plane that knows what the journal says and no more. */
  begin(inLab: readonly string[] = sites): Services {
    this.store = new StateStore();
    for (const entry of this.entries) this.store.change(entry.changes ?? []);
    const shown: Change[] = inLab.map((id) => ({
      op: 'upsert',
      collection: 'sites',
      id,
      value: { id, reach: 'up', attacked: false, pods: [] as string[] } as unknown as Site,
    }));
    this.store.change(shown);
    const { store, entries, clock } = this;
    this.descriptions = new Map();
    const context = {
      holdings: { siteHolder: () => null, serviceHolder: () => null },
      store,
      clock,
      log: () => undefined,
      services: this.descriptions,
      manifest: {
        hosts: Object.fromEntries(inLab.map((name) => [name, { name, role: 'site' }])),
        services: [
          {
            hostname: 'shop.example',
            homeSite: 'a1',
            image: 'apache',
            storage: '/srv/shop',
            mountPoint: '/m',
            port: 80,
          },
        ],
      },
      recorder: {
        record: (entry: JournalEntry) => {
          entries.push(entry);
          store.change(entry.changes ?? []);
        },
      },
      fleet: {
        connection: async (site: string) => ({
          run: async () => (this.storage.has(site) ? 'there\n' : ''),
          writeFile: async (path: string) => void this.written.push(`${site}:${path}`),
        }),
      },
      agent: async (site: string) => {
        if (site === this.silent) throw new MoveError('AGENT_UNREACHABLE', `${site} does not answer.`);
        return { call: async (method: string, input: unknown) => this.answer(site, method, input) };
      },
    } as unknown as ConstructorParameters<typeof Services>[0];
    const keys = {
      delegate: async (service: string, site: string, epoch: number) => ({ service, site, epoch }),
    } as unknown as Parts['keys'];
    const seating = {
      seat: ({ hostname }: ServiceDescription) => void this.seated.push(hostname),
      clear: (service: string) => void this.seated.splice(this.seated.indexOf(service), 1),
    } as unknown as Parts['seating'];
    const certifySites = async () => {
      this.certified = [...this.descriptions.keys()];
    };
    this.services = new Services(context, this.descriptions, { keys, seating, certifySites });
    return this.services;
  }

  answer(site: string, method: string, input: unknown): unknown {
    const here = this.pods[site] ?? {};
    if (method === 'site.status')
      return {
        pods: Object.entries(here).map(([service, epoch]) => ({
          service,
          epoch,
          state: this.frozen.has(site) ? 'frozen' : 'running',
          sessions: 0,
        })),
      };
    if (method === 'site.stop') delete here[(input as { service: string }).service];
    if (method === 'site.start') {
      const { service, delegation } = input as { service: ServiceDescription; delegation: { epoch: number } };
      if (this.refusal) throw this.refusal;
      if (service.number > 0 && !this.certified.includes(service.hostname))
        throw new MoveError('ORGANISATION_DENIED', `The certificate of ${site} does not name it.`);
      here[service.hostname] = delegation.epoch;
    }
    return {};
  }

  told = () => this.entries.map(({ type }) => type);
}

describe('services that are added', () => {
  let world: World;
  beforeEach(() => {
    world = new World();
  });

  it('start at home, have addresses of their own, and are journalled before they start', async () => {
    const service = await world.services.add(numbers, 'numbers.yaml', 'terminal');
    expect(service).toMatchObject({
      id: 'numbers.example',
      site: 'c1',
      state: 'running',
      epoch: 1,
      staysBehind: [],
    });
    expect(world.told()).toEqual(['service.added', 'service.starting', 'service.running']);
    expect(world.pods.c1).toEqual({ 'numbers.example': 1 });
    expect(world.descriptions.get('shop.example')?.number).toBe(0);
    expect(world.descriptions.get('numbers.example')?.number).toBe(32);
    expect(world.seated).toContain('numbers.example');
    await expect(world.services.add(numbers, 'again.yaml', 'terminal')).rejects.toMatchObject({
      code: 'SERVICE_FILE_INVALID',
    });
  });

  it('are there for the next control plane: found where they run, else started', async () => {
    await world.services.add(numbers, 'numbers.yaml', 'terminal');
    await world.begin().start();
    expect(world.store.state.services['numbers.example']).toMatchObject({ state: 'running', epoch: 1 });
    expect(world.pods.c1).toEqual({ 'numbers.example': 1 });
    world.pods.c1 = {};
    await world.begin().start();
    expect(world.pods.c1).toEqual({ 'numbers.example': 2 });
  });

  it('are not started over a copy that a move left frozen, and go on when it is thawed', async () => {
    await world.services.add(numbers, 'numbers.yaml', 'terminal');
    world.frozen.add('c1');
    const services = world.begin();
    await services.start();
    const looked = async () => {
      world.clock.turn(1_000);
      await new Promise((resolve) => setImmediate(resolve));
    };
    await looked();
    expect(world.pods.c1).toEqual({ 'numbers.example': 1 });
    world.store.change([
      { op: 'patch', collection: 'services', id: 'numbers.example', value: { state: 'down' } },
    ]);
    world.frozen.clear();
    await looked();
    expect(world.pods.c1).toEqual({ 'numbers.example': 1 });
    expect(world.store.state.services['numbers.example']).toMatchObject({ state: 'running', epoch: 1 });
    services.stop();
  });

  it('are started anew at home when a site answers without them, and tried again until they run', async () => {
    await world.services.add(numbers, 'numbers.yaml', 'terminal');
    await world.services.start();
    const pass = async (ms: number) => {
      for (let passed = 0; passed < ms; passed += 500) {
        world.clock.turn(500);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const shown = (id: string, pods: string[]) =>
      world.store.change([{ op: 'patch', collection: 'sites', id, value: { pods } }]);
    world.store.change([
      { op: 'patch', collection: 'services', id: 'numbers.example', value: { site: 'b1' } },
    ]);
    shown('a1', ['shop.example']);
    shown('b1', []);
    // What is shown may be old: it still runs.
    world.pods.c1 = {};
    world.pods.b1 = { 'numbers.example': 1 };
    await pass(10_000);
    expect(world.store.state.services['numbers.example']).toMatchObject({ site: 'b1', state: 'running' });
    shown('b1', ['numbers.example']);
    await pass(2_000);
    // The site lost its power, and home does not take it at once.
    world.pods.b1 = {};
    shown('b1', []);
    world.refusal = new MoveError('POD_START_FAILED', 'No.');
    await pass(4_000);
    expect(world.told()).toContain('service.lost');
    expect(world.store.state.services['numbers.example']).toMatchObject({ state: 'down' });
    world.refusal = null;
    await pass(10_000);
    expect(world.store.state.services['numbers.example']).toMatchObject({
      site: 'c1',
      state: 'running',
      epoch: 3,
    });
    expect(world.pods.b1).toEqual({});
    expect(world.told().filter((type) => type === 'service.lost')).toHaveLength(1);
    world.services.stop();
  });

  it('wait for their home in a lab that has no such site', async () => {
    await world.services.add(numbers, 'numbers.yaml', 'terminal');
    world.pods.c1 = {};
    await world.begin(['a1', 'b1']).start();
    expect(world.told()).toContain('service.homeless');
    expect(world.store.state.services['numbers.example']?.state).toBe('down');
  });

  it('are not kept when they do not start, and the reason is told', async () => {
    world.refusal = new MoveError('POD_IMAGE_MISSING', 'The image is not there.');
    await expect(world.services.add(numbers, 'numbers.yaml', 'terminal')).rejects.toBe(world.refusal);
    expect(world.store.state.services['numbers.example']).toBeUndefined();
    expect(world.descriptions.has('numbers.example')).toBe(false);
    world.refusal = null;
    await expect(world.services.add(numbers, 'numbers.yaml', 'terminal')).resolves.toMatchObject({
      epoch: 2,
    });
  });

  it('find their sample laid out where nothing was, and what was there untouched', async () => {
    await world.services.add(library, 'library.yaml', 'terminal');
    expect(world.written).toContain('b1:/srv/library.part/index.html');
    await world.services.remove('library.example', 'terminal');
    world.written.length = 0;
    world.storage.add('b1');
    await world.services.add(library, 'library.yaml', 'terminal');
    expect(world.written).toEqual([]);
  });

  it('need storage that is there when they name no sample', async () => {
    const bare = library.replace('  sample: library', '');
    await expect(world.services.add(bare, 'bare.yaml', 'terminal')).rejects.toMatchObject({
      code: 'STORAGE_MISSING',
    });
    expect(world.store.state.services['library.example']).toBeUndefined();
  });
});

describe('services that are removed', () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await world.services.start();
    await world.services.add(numbers, 'numbers.yaml', 'terminal');
  });

  it('are stopped where they are and forgotten, but for their epoch', async () => {
    await world.services.remove('numbers.example', 'terminal');
    expect(world.pods.c1).toEqual({});
    expect(world.store.state.services['numbers.example']).toBeUndefined();
    expect(world.seated).not.toContain('numbers.example');
    await world.begin().start();
    expect(world.pods.c1).toEqual({});
    await expect(world.services.add(numbers, 'numbers.yaml', 'terminal')).resolves.toMatchObject({
      epoch: 2,
    });
  });

  it('stay when the site does not answer that would have to stop them', async () => {
    world.silent = 'c1';
    await expect(world.services.remove('numbers.example', 'terminal')).rejects.toMatchObject({
      code: 'AGENT_UNREACHABLE',
    });
    expect(world.descriptions.has('numbers.example')).toBe(true);
    expect(world.pods.c1).toEqual({ 'numbers.example': 1 });
  });

  it('are not those of the lab, nor those that move', async () => {
    await expect(world.services.remove('shop.example', 'terminal')).rejects.toMatchObject({
      code: 'SERVICE_OF_THE_LAB',
    });
    await expect(world.services.remove('none.example', 'terminal')).rejects.toMatchObject({
      code: 'SERVICE_UNKNOWN',
    });
    world.store.change([
      {
        op: 'upsert',
        collection: 'moves',
        id: 'm',
        value: { service: 'numbers.example', state: 'running' } as never,
      },
    ]);
    await expect(world.services.remove('numbers.example', 'terminal')).rejects.toMatchObject({
      code: 'SERVICE_BUSY',
    });
  });

  it('are rebuilt by a replay of the journal as they were', async () => {
    await world.services.remove('numbers.example', 'terminal');
    const replayed = world.entries.reduce(
      (state, { changes }) => applyChanges(state, changes ?? []),
      new StateStore().state,
    );
    expect(replayed.definitions).toEqual(world.store.state.definitions);
    expect(replayed.definitions['numbers.example']).toMatchObject({ lastEpoch: 1 });
  });
});
