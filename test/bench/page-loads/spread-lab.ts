import { readFileSync } from 'node:fs';
import path from 'node:path';
import { type LabSpec, parseLabSpec } from '../../../core/lab/spec.ts';

const defaultSpec = path.resolve(import.meta.dirname, '../../../core/lab/default-spec.yaml');

/** Overlay nodes by one-way delay of their network in milliseconds: most near the sites, some farther away. */
const overlay = [
  { name: 'near', oneWayDelayMs: 0.25, hosts: ['node-1', 'node-2', 'node-3', 'node-4'] },
  { name: 'middle', oneWayDelayMs: 2, hosts: ['node-5', 'node-6'] },
  { name: 'far', oneWayDelayMs: 5, hosts: ['node-7', 'node-8'] },
];

/** Where an access point is chosen from: as near to everything as a provider would put it. */
export const accessPointsNear: readonly string[] = overlay[0]!.hosts;

/** Round trips between people and the service in milliseconds, and the host at each. */
export const readers = [
  { host: 'reader-10', roundTripMs: 10 },
  { host: 'reader-20', roundTripMs: 20 },
  { host: 'reader-40', roundTripMs: 40 },
] as const;

/** The default lab with its overlay nodes spread out and readers at three round trips from the service. */
export function spreadLab(): LabSpec {
  const spec = parseLabSpec(readFileSync(defaultSpec, 'utf8'), defaultSpec);
  const home = spec.services[0]!.homeSite;
  const site = spec.isps.find(({ sites }) => sites.some(({ name }) => name === home))!;
  return {
    ...spec,
    name: 'page-loads',
    networks: [
      ...spec.networks.filter(({ role }) => role !== 'overlay' && role !== 'bot'),
      ...overlay.map((network) => ({ ...network, role: 'overlay' as const })),
      ...readers.map(({ host, roundTripMs }) => ({
        name: `at-${roundTripMs}ms`,
        role: 'client' as const,
        oneWayDelayMs: roundTripMs / 2 - site.oneWayDelayMs,
        hosts: [host],
      })),
    ],
  };
}
