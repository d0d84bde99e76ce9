import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Service, Site } from '../../../core/contract/domain.ts';
import { Handovers } from '../../../core/control/handovers.ts';
import { StateStore } from '../../../core/control/state-store.ts';
import { MoveError } from '../../../core/runtime/errors.ts';
import { createTestAuthority } from '../../support/authority.ts';
import { temporaryDirectory } from '../credentials/helpers.ts';

type Parts = ConstructorParameters<typeof Handovers>[0];

const sshKey = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJmoveconsole';
const site = (name: string, stone: string) => ({
  name,
  role: 'site',
  viaStone: stone,
  ssh: { address: '10.3.0.11', port: 22 },
});

/** Hosts that note what is asked of them, and a directory that outlives control planes. */
class World {
  readonly directory = temporaryDirectory();
  readonly store = new StateStore();
  readonly asked: string[] = [];
  readonly left: string[] = [];
  silent: string | null = null;

  constructor() {
    for (const id of ['a1', 'c1', 'c2'])
      this.store.change([
        { op: 'upsert', collection: 'sites', id, value: { id, reach: 'up', pods: [] } as unknown as Site },
      ]);
  }

  async begin(labId = 'lab-1'): Promise<Handovers> {
    const context = {
      store: this.store,
      services: new Map([['shop.example', { hostname: 'shop.example', homeSite: 'a1' }]]),
      manifest: {
        labId,
        name: 'lab',
        hosts: {
          admin: { name: 'admin', role: 'admin' },
          'node-1': { name: 'node-1', role: 'overlay' },
          'stone-a': { name: 'stone-a', role: 'stone' },
          'stone-c': { name: 'stone-c', role: 'stone' },
          a1: site('a1', 'stone-a'),
          c1: site('c1', 'stone-c'),
          c2: site('c2', 'stone-c'),
        },
      },
      recorder: {
        record: ({ changes }: { changes: Parameters<StateStore['change']>[0] }) => this.store.change(changes),
      },
      log: (line: string) => this.asked.push(line),
      fleet: {
        connection: async (host: string) => ({
          run: async (_script: string, { input }: { input: string }) => {
            this.asked.push(`${input === '' ? 'close' : 'open'} ${host}`);
            return '';
          },
        }),
      },
    };
    const handovers = new Handovers({
      context: context as unknown as Parts['context'],
      directory: this.directory.path,
      handOver: async (host) => {
        if (host === this.silent) throw new MoveError('AGENT_UNREACHABLE', `${host} does not answer.`);
        this.asked.push(`give ${host}`);
      },
      letGo: async (host) => void this.left.push(host),
    });
    await handovers.restore();
    return handovers;
  }
}

describe('giving sites away', () => {
  let world: World;
  let authorityPem: string;
  beforeEach(async () => {
    world = new World();
    authorityPem = (await createTestAuthority()).certificatePem;
  });
  afterEach(() => world.directory.remove());
  const order = () => ({ organisation: 'bakery', sites: ['c1', 'c2'], authorityPem, sshKey });

  it('opens the way, has the agents obey, and shares no more than is needed', async () => {
    const share = await (await world.begin()).give(order());
    expect(world.asked).toEqual([
      ...['open c1', 'open c2', 'open stone-c', 'open admin'],
      ...['give c1', 'give c2'],
    ]);
    expect(world.left).toEqual(['c1', 'c2']);
    expect(world.store.state.sites.c1).toMatchObject({ holder: 'the organisation bakery', reach: 'unknown' });
    expect(Object.keys(share.hosts).sort()).toEqual(['admin', 'c1', 'c2', 'node-1', 'stone-c']);
    expect(share).toMatchObject({ isShare: true, services: [] });
  });

  it('is ended by the next control plane where one broke off', async () => {
    world.silent = 'c2';
    await expect((await world.begin()).give(order())).rejects.toMatchObject({ code: 'AGENT_UNREACHABLE' });
    world.silent = null;
    world.asked.length = 0;
    const next = await world.begin();
    expect(['a1', 'c1', 'c2'].map(next.holderOf)).toEqual([null, 'bakery', 'bakery']);
    await next.goOn(new Set(['bakery']));
    expect(world.asked.filter((line) => line.startsWith('give'))).toEqual(['give c2']);
    world.asked.length = 0;
    await (await world.begin()).goOn(new Set(['bakery']));
    expect(world.asked).toEqual([]);
  });

  it('means nothing in another lab, whose hosts are others', async () => {
    await (await world.begin()).give(order());
    expect((await world.begin('lab-2')).holderOf('c1')).toBeNull();
  });

  it('closes the way of who is not admitted any more, and leaves the sites theirs', async () => {
    const handovers = await world.begin();
    await handovers.give(order());
    world.asked.length = 0;
    await handovers.closeWays(new Set(['bakery']));
    expect(world.asked).toEqual([]);
    await handovers.closeWays(new Set());
    await handovers.closeWays(new Set());
    expect(world.asked).toEqual(['close stone-c', 'close admin']);
    expect(handovers.holderOf('c1')).toBe('bakery');
  });

  it('is refused where a service lives, is at home or is on its way', async () => {
    const handovers = await world.begin();
    expect(handovers.givable(['c1', 'c2', 'bakery-1'])).toEqual(['c1', 'c2']);
    expect(() => handovers.givable(['c1', 'a1'])).toThrow(expect.objectContaining({ code: 'SITE_BUSY' }));
    world.store.change([
      {
        op: 'upsert',
        collection: 'services',
        id: 'shop.example',
        value: { id: 'shop.example', site: 'c1' } as unknown as Service,
      },
    ]);
    expect(() => handovers.givable(['c1'])).toThrow(expect.objectContaining({ code: 'SITE_BUSY' }));
  });
});
