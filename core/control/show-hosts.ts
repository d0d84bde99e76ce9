import type { Change, CollectionName, ConsoleState } from '../contract/state.ts';
import type { FleetManifest, LabHost } from '../lab/manifest.ts';
import { type Holdings, theOperator } from './holdings.ts';
import { publicAddress } from './host-plan.ts';

const shownCollections: readonly CollectionName[] = [
  'isps',
  'nodes',
  'sites',
  'stones',
  'clients',
  'lifelines',
  'floods',
];

/** The changes that show every host of a manifest, nothing of an earlier lab, and nothing as found that has to be found anew. */
export function showHosts(
  state: ConsoleState,
  manifest: FleetManifest,
  holdings: Holdings,
  now: number,
): Change[] {
  const changes: Change[] = [];
  for (const collection of shownCollections)
    for (const id of Object.keys(state[collection])) changes.push({ op: 'remove', collection, id });
  for (const { id, state: stage } of Object.values(state.attacks))
    if (stage === 'active')
      changes.push({ op: 'patch', collection: 'attacks', id, value: { state: 'over', overAt: now } });
  // Whether a proposal still stands is found out anew: an attack that goes on is told again.
  for (const { id, state: stage } of Object.values(state.proposals))
    if (stage === 'waiting')
      changes.push({
        op: 'patch',
        collection: 'proposals',
        id,
        value: { state: 'withdrawn', decidedAt: now, decidedBy: 'the control plane began anew' },
      });
  for (const host of Object.values(manifest.hosts)) {
    if (host.isp)
      changes.push({
        op: 'upsert',
        collection: 'isps',
        id: host.isp,
        value: { id: host.isp, name: `ISP ${host.isp.toUpperCase()}` },
      });
    const shown = showHost(host, holdings, manifest.isShare === true);
    if (shown) changes.push(shown);
  }
  // Where a service is stands in the journal; whether it answers is only known once it was found.
  for (const service of Object.values(state.services))
    changes.push({
      op: 'patch',
      collection: 'services',
      id: service.id,
      value: { ...(service.state === 'running' ? { state: 'starting' } : {}), route: [] },
    });
  return changes;
}

function showHost(host: LabHost, holdings: Holdings, isShare: boolean): Change | null {
  const id = host.name;
  // What an organisation has of its own on a shared overlay is sites.
  const holder = host.role === 'site' ? holdings.siteHolder(id) : isShare ? theOperator : null;
  const held = holder === null ? {} : { holder };
  if (host.role === 'site')
    return {
      op: 'upsert',
      collection: 'sites',
      id,
      value: {
        id,
        isp: host.isp ?? '',
        reach: 'unknown',
        primaryAddress: publicAddress(host),
        primaryCapacityMbit: host.rateMbit.primary ?? 0,
        secondaryCapacityMbit: host.rateMbit.secondary ?? 0,
        primaryInMbit: 0,
        primaryOutMbit: 0,
        secondaryInMbit: 0,
        secondaryOutMbit: 0,
        pods: [],
        attacked: false,
        ...(host.offers ? { offers: host.offers } : {}),
        ...held,
      },
    };
  if (host.role === 'stone')
    return {
      op: 'upsert',
      collection: 'stones',
      id,
      value: { id, isp: host.isp ?? '', reach: 'unknown', relays: 0, ...held },
    };
  if (host.role === 'overlay')
    return {
      op: 'upsert',
      collection: 'nodes',
      id,
      value: {
        id,
        address: publicAddress(host),
        reach: 'unknown',
        ringIdentifier: null,
        successors: [],
        predecessor: null,
        fingers: [],
        roles: [],
        flooded: false,
        clientLinks: 0,
        sessions: 0,
        ...held,
      },
    };
  if (host.role === 'client' || host.role === 'bot')
    return {
      op: 'upsert',
      collection: 'clients',
      id,
      value: { id, role: host.role, reach: 'up', path: 'none', services: [], activity: 'idle' },
    };
  return null;
}
