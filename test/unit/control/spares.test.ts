import { beforeEach, describe, expect, it } from 'vitest';
import type { SpareStatus } from '../../../core/contract/agent-contract.ts';
import type { Service, Site } from '../../../core/contract/domain.ts';
import type { ControlContext } from '../../../core/control/control-context.ts';
import type { JournalEntry } from '../../../core/control/recorder.ts';
import { Spares, spareSiteOf } from '../../../core/control/spares.ts';
import { StateStore } from '../../../core/control/state-store.ts';
import { MoveError } from '../../../core/runtime/errors.ts';
import { HandClock } from '../../support/hand-clock.ts';

const shop = 'shop.example';

let clock: HandClock;
let store: StateStore;
let entries: JournalEntry[];
/** What sites were told, as `site method service target`. */
let told: string[];
let silent: Set<string>;
let spares: Spares;

beforeEach(() => {
  clock = new HandClock(1_000_000);
  store = new StateStore();
  entries = [];
  told = [];
  silent = new Set();
  const hosts: Record<string, object> = {};
  for (const id of ['a1', 'b1', 'c1']) {
    store.change([{ op: 'upsert', collection: 'sites', id, value: { id, reach: 'up' } as unknown as Site }]);
    hosts[id] = { name: id, role: 'site', addresses: { primary: '198.18.1.1' } };
  }
  const value = { id: shop, site: 'a1', state: 'running' } as unknown as Service;
  store.change([{ op: 'upsert', collection: 'services', id: shop, value }]);
  spares = new Spares({
    store,
    clock,
    log: () => undefined,
    services: new Map([[shop, { hostname: shop }]]),
    manifest: { hosts },
    holdings: { siteHolder: () => null, serviceHolder: () => null },
    recorder: {
      record: (entry: JournalEntry) => {
        entries.push(entry);
        store.change(entry.changes ?? []);
      },
    },
    agent: async (site: string) => {
      if (silent.has(site)) throw new MoveError('AGENT_UNREACHABLE', `${site} does not answer.`);
      return {
        call: async (method: string, input: { service: string; target?: { name: string } }) => {
          told.push([site, method, input.service, input.target?.name].filter(Boolean).join(' '));
          return {};
        },
      };
    },
  } as unknown as ControlContext);
});

const keep = (site = 'b1') => spares.keep({ service: shop, site, everySeconds: 10 }, 'cli');
const status = (more: Partial<SpareStatus> = {}): SpareStatus => ({
  service: shop,
  site: 'b1',
  everyMs: 10_000,
  rounds: 3,
  currentAt: clock.now(),
  bytes: 500_000,
  lastBytes: 9_000,
  lastMs: 120,
  processorMs: 300,
  error: null,
  ...more,
});
/** A site says what it keeps. */
async function says(site: string, ...kept: SpareStatus[]): Promise<void> {
  store.change(spares.seen(site, kept));
  await new Promise((resolve) => setImmediate(resolve));
}
const state = () => store.state.spares[shop]?.state;

describe('spares of services', () => {
  it('are told to the site where the service is, and stand in the journal', async () => {
    expect(await keep()).toMatchObject({ id: shop, site: 'b1', state: 'beginning', rounds: 0 });
    expect(told).toEqual(['a1 source.keepSpare shop.example b1']);
    expect(entries.map(({ type }) => type)).toEqual(['spare.kept']);
    expect(spareSiteOf(store.state, shop)).toBeNull();
    await says('a1', status());
    expect(spares.list()).toMatchObject([{ state: 'current', rounds: 3, bytes: 500_000, lastBytes: 9_000 }]);
    expect(spareSiteOf(store.state, shop)).toBe('b1');
    expect(spares.seen('a1', [status()])).toEqual([]);
  });

  it('are nothing where the service is, where no site is, or where its site does not answer', async () => {
    await expect(keep('a1')).rejects.toMatchObject({ code: 'TARGET_UNUSABLE' });
    await expect(keep('z1')).rejects.toMatchObject({ code: 'SITE_UNKNOWN' });
    silent.add('a1');
    await expect(keep()).rejects.toMatchObject({ code: 'AGENT_UNREACHABLE' });
    expect(spares.list()).toEqual([]);
    await expect(spares.drop(shop, 'cli')).rejects.toMatchObject({ code: 'SPARE_UNKNOWN' });
  });

  it('are no targets when their latest round failed or is late', async () => {
    await keep();
    await says('a1', status({ error: { code: 'LINK_UNREACHABLE', message: 'b1 does not answer.' } }));
    expect(store.state.spares[shop]).toMatchObject({ state: 'behind', fault: 'b1 does not answer.' });
    expect(spareSiteOf(store.state, shop)).toBeNull();
    const before = status();
    await says('a1', before);
    expect(state()).toBe('current');
    clock.turn(60_000);
    await says('a1', before);
    expect(state()).toBe('behind');
  });

  it('are told again to a site whose agent began anew, and to the one that the service moved to', async () => {
    await keep();
    await says('a1', status());
    told = [];
    await says('a1');
    expect(told).toEqual(['a1 source.keepSpare shop.example b1']);
    expect(store.state.spares[shop]).toMatchObject({ state: 'beginning', rounds: 0, bytes: 0 });
    told = [];
    store.change([{ op: 'patch', collection: 'services', id: shop, value: { site: 'c1' } }]);
    await says('a1', status());
    await says('c1');
    expect(told).toEqual(['a1 source.dropSpare shop.example', 'c1 source.keepSpare shop.example b1']);
    told = [];
    store.change([{ op: 'patch', collection: 'services', id: shop, value: { site: 'b1' } }]);
    await says('b1');
    expect(told).toEqual([]);
    expect(state()).toBe('idle');
    expect(spareSiteOf(store.state, shop)).toBeNull();
  });

  it('are dropped at once, and by a site that was silent as soon as it answers', async () => {
    await keep();
    silent.add('a1');
    await spares.drop(shop, 'cli');
    expect(spares.list()).toEqual([]);
    silent.clear();
    told = [];
    await says('a1', status());
    expect(told).toEqual(['a1 source.dropSpare shop.example']);
  });
});
