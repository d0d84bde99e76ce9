import { type DrillKind, drillKindSchema } from '../contract/domain.ts';

const recognised = (what: string, within: string) =>
  `${what}: recognised as what it is within ${within}, taken for nothing else, left behind by a move.`;

const expects: Record<DrillKind, string> = {
  'udp-flood':
    'The primary link is filled with UDP: detected within half a second, and the service answers from another site within a second.',
  'syn-flood': recognised('Connections are begun and never completed', 'half a second'),
  'icmp-flood': recognised('The primary link is filled with ICMP', 'half a second'),
  'http-flood': recognised('Strangers ask for one page over and over', 'three seconds'),
  'slow-http': recognised('Strangers hold connections open and complete no request', 'three seconds'),
  'expensive-requests': recognised('Strangers ask for what costs the service most', 'three seconds'),
  'node-flood':
    'The overlay node that people enter by is flooded: it leaves the ring, they enter by another one, it returns.',
  'quiet-minute': 'Nothing happens, and nothing is raised.',
  'honest-surge': 'Many people come at once: no alarm, no move.',
};

/** Every drill with what it expects to see, in the order of the contract. */
export function drillKinds(): { kind: DrillKind; expects: string }[] {
  return drillKindSchema.options.map((kind) => ({ kind, expects: expects[kind] }));
}
