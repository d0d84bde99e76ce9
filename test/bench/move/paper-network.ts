import { readFileSync } from 'node:fs';
import path from 'node:path';
import { type LabSpec, parseLabSpec } from '../../../core/lab/spec.ts';

const defaultSpec = path.resolve(import.meta.dirname, '../../../core/lab/default-spec.yaml');

const gigabit = { rateMbit: 1_000, queueMs: 20 };
const hundred = { rateMbit: 100, queueMs: 100 };
const narrow = { rateMbit: 5, queueMs: 100 };

/** The site that services move from, where their storage stays. */
export const home = 'a1';
/** A site like it whose secondary link is as narrow as an attack on its ISP may leave it. */
export const narrowHome = 'a2';

/** Where services move to, as in section 4 of the MOVE paper. `rateMbit` is that of the site's link. */
export const destinations = {
  'co-located': { site: 'b1', roundTripMs: 1, rateMbit: 1_000 },
  remote: { site: 'c1', roundTripMs: 10.6, rateMbit: 100 },
  // The paper says of its third site only that it is farther away.
  far: { site: 'd1', roundTripMs: 30, rateMbit: 100 },
} as const;
export type Destination = keyof typeof destinations;

export const apache = 'shop.example';
export const narrowApache = 'narrow.example';

/** The network of the paper's measurements of moves: a home with a fast secondary link, and three places to go to. */
export function paperNetwork(): LabSpec {
  const spec = parseLabSpec(readFileSync(defaultSpec, 'utf8'), defaultSpec);
  const [shop] = spec.services;
  const homeDelayMs = 0.25;
  const isp = (name: string, sites: LabSpec['isps'][number]['sites'], oneWayDelayMs: number) => ({
    name,
    oneWayDelayMs,
    sites,
    stones: [{ name: `stone-${name}` }],
  });
  return {
    ...spec,
    name: 'move-bench',
    links: { primary: gigabit, secondary: gigabit, stone: gigabit, access: gigabit },
    isps: [
      isp('a', [{ name: home }, { name: narrowHome, secondary: narrow }], homeDelayMs),
      ...Object.values(destinations).map(({ site, roundTripMs, rateMbit }) =>
        isp(
          site[0]!,
          [rateMbit === 100 ? { name: site, primary: hundred, secondary: hundred } : { name: site }],
          roundTripMs / 2 - homeDelayMs,
        ),
      ),
    ],
    networks: spec.networks
      .filter(({ role }) => role !== 'bot')
      .map((network) => ({ ...network, oneWayDelayMs: homeDelayMs })),
    services: [
      { ...shop!, hostname: apache, homeSite: home },
      { ...shop!, hostname: narrowApache, homeSite: narrowHome, storage: '/srv/narrow' },
    ],
  };
}
