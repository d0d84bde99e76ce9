import { z } from 'zod';
import { pathPolicySchema, servicePathSchema, serviceUsageSchema, signalClassSchema } from './domain.ts';
import { doorConfigurationSchema } from './door-configuration.ts';
import { nodeListSchema } from './node-list.ts';
import { findingSchema, rehearsalSchema, siteFactsSchema } from './preflight.ts';
import { dialOutSchema, healthProbeSchema, serviceLimitsSchema } from './service-file.ts';

/**
 * What a host's agent can be asked, over the control plane's SSH connection to its unix socket.
 * Agents keep the durable, fenced state of their own side of a move; a restarted controller asks them
 * before it acts (DESIGN.md, decision 3).
 */

const at = z.number();
const nothing = z.object({});
const pem = z.string().startsWith('-----BEGIN ');

export const endpointSchema = z.object({ name: z.string(), address: z.string(), port: z.number().int() });
export type Endpoint = z.infer<typeof endpointSchema>;

/** What an agent is and whom it knows. Kept durably by the agent. */
export const agentConfigurationSchema = z.object({
  host: z.string(),
  certificatePem: pem,
  trustPem: pem,
  roles: z.object({
    overlay: z
      .object({
        listen: endpointSchema,
        peers: z.array(endpointSchema.extend({ identifier: z.string().describe('place on the ring') })),
        successorListLength: z.number().int().min(1).max(16),
        primaryInterface: z.string(),
        primaryCapacityMbit: z.number(),
        homes: z
          .array(z.object({ service: z.string(), site: z.string() }))
          .optional()
          .describe('the home sites of services, where people may use them directly'),
      })
      .optional()
      .describe('a member of the ring; peers are all members at the start'),
    site: z
      .object({
        isp: z.string(),
        listen: endpointSchema.describe('the primary address, where servlets and arriving state come in'),
        primaryInterface: z.string(),
        secondaryInterface: z.string(),
        primaryCapacityMbit: z.number(),
        stone: endpointSchema.describe("the stepping stone's address inside the ISP"),
        overlay: z.array(endpointSchema).describe('overlay nodes that it announces to, through the stone'),
      })
      .optional(),
    stone: z
      .object({
        isp: z.string(),
        listen: endpointSchema.describe('inside the ISP only'),
        allowed: z.array(endpointSchema).describe('where it dials out to for its sites, and nowhere else'),
      })
      .optional(),
  }),
  revoked: z.array(z.string()).describe('serial numbers that are no longer accepted'),
  paths: z
    .record(z.string(), servicePathSchema)
    .default({})
    .describe('how sessions travel through the overlay, by service; two hops for those that are not named'),
  organisations: z
    .array(pem)
    .max(64)
    .optional()
    .describe('the authorities of organisations that share the overlay, each within the scope that it names'),
  nodeList: nodeListSchema.optional().describe('the signed list of overlay nodes, once there is one'),
});
export type AgentConfiguration = z.infer<typeof agentConfigurationSchema>;

/** A delegation: the service lets a site answer for it in one epoch. Signed with the service's key. */
export const delegationSchema = z.object({
  service: z.string(),
  site: z.string(),
  epoch: z.number().int(),
  serviceCertificatePem: pem,
  signature: z.string(),
});
export type Delegation = z.infer<typeof delegationSchema>;

/** A service as a pod runs it. */
export const serviceDescriptionSchema = z.object({
  hostname: z.string(),
  image: z.string(),
  command: z.array(z.string()).min(1),
  port: z.number().int().describe('the TCP port that it listens on inside its pod'),
  direct: z.boolean().describe('whether its port is open to everybody at its home, beside the overlay'),
  terminals: z.boolean().describe('whether its programs open terminals'),
  withoutIoUring: z.boolean().describe('whether its programs are kept from io_uring, which no move carries'),
  storage: z
    .object({ path: z.string(), mountPoint: z.string() })
    .nullable()
    .describe('what stays at its home and is reached over the lifeline'),
  homeSite: z.string(),
  probe: healthProbeSchema,
  limits: serviceLimitsSchema.optional(),
  dialOut: z.array(dialOutSchema).optional().describe('where its pod may open connections to'),
  number: z.number().int().min(0).max(255).describe('from which the virtual addresses of its pod follow'),
});
export type ServiceDescription = z.infer<typeof serviceDescriptionSchema>;

export const sourceStateSchema = z.enum(['prepared', 'frozen', 'dumped', 'shipped', 'killed', 'rolled-back']);
export const targetStateSchema = z.enum([
  'prepared',
  'received',
  'verified',
  'restored',
  'live',
  'discarded',
]);

const phaseTimesSchema = z.array(z.object({ phase: z.string(), startedAt: at, endedAt: at }));

/** How current this site keeps another one, and what that costs. */
export const spareStatusSchema = z.object({
  service: z.string(),
  site: z.string(),
  everyMs: z.number(),
  rounds: z.number().int(),
  currentAt: at
    .nullable()
    .describe('when the pages that the other site has were read; null before it has any'),
  bytes: z.number().describe('on the wire, since it is kept'),
  lastBytes: z.number().describe('on the wire, in the latest round'),
  lastMs: z.number().describe('how long the latest round took'),
  processorMs: z.number().describe('of the agent, while rounds were under way'),
  error: z.object({ code: z.string(), message: z.string() }).nullable().describe('of the latest round'),
});
export type SpareStatus = z.infer<typeof spareStatusSchema>;

export const siteStatusSchema = z.object({
  pods: z.array(
    z.object({
      service: z.string(),
      epoch: z.number().int(),
      state: z.enum(['running', 'frozen', 'fenced', 'stopped']),
      sessions: z.number().int(),
      usage: serviceUsageSchema.nullable().default(null).describe('null while it does not run'),
    }),
  ),
  sources: z.array(
    z.object({ move: z.string(), service: z.string(), epoch: z.number().int(), state: sourceStateSchema }),
  ),
  targets: z.array(
    z.object({ move: z.string(), service: z.string(), epoch: z.number().int(), state: targetStateSchema }),
  ),
  decoys: z
    .array(
      z.object({
        service: z.string(),
        port: z.number().int(),
        since: at,
        takenAt: at.describe('when what it answers was what the service answered'),
        requests: z.number().int(),
        turnedAway: z.number().int(),
        bytes: z.number(),
        connections: z.number().int(),
      }),
    )
    .optional(),
  spares: z.array(spareStatusSchema).optional().describe('what this site keeps current elsewhere'),
  lifelines: z.array(
    z.object({
      service: z.string(),
      side: z.enum(['storage', 'pod']),
      state: z.enum(['opening', 'open', 'cut']),
      bytes: z.number(),
      roundTripMs: z.number().nullable(),
    }),
  ),
});

const nextNodeSchema = z.object({
  node: z.string(),
  servlet: z.boolean().describe('whether that node talks to the site'),
});

export const overlayStatusSchema = z.object({
  ring: z.unknown().describe("the node's ring state, as checkRingInvariant reads it"),
  ringIdentifier: z.string(),
  predecessor: z.string().nullable(),
  successors: z.array(z.string()),
  fingers: z.array(z.string()),
  flooded: z.boolean().describe('its primary link is flooded, or was until just now: it takes no clients'),
  clientLinks: z.number().int(),
  sessions: z.record(z.string(), z.number().int()).describe('open sessions by service, as access point'),
  lost: z
    .record(z.string(), z.number().int())
    .describe('sessions by service that ended though neither end wanted it, since the node started'),
  paths: z
    .record(z.string(), z.object({ policy: pathPolicySchema, next: nextNodeSchema.nullable() }))
    .describe('the most recent path by service, as access point: where it goes; null for the site itself'),
  onward: z
    .record(z.string(), nextNodeSchema)
    .describe('where this node last passed a full-ring stream on to, by service'),
  doorConnections: z.number().int().default(0).describe('browsers that are connected now'),
  visitors: z.number().int().default(0).describe('people admitted by a test or a password'),
  records: z.array(
    z.object({ service: z.string(), site: z.string(), epoch: z.number().int(), owner: z.boolean() }),
  ),
});
export type OverlayStatus = z.infer<typeof overlayStatusSchema>;

/** What agents tell without being asked. */
export const agentEventSchema = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('links'),
    at,
    links: z.array(
      z.object({ link: z.enum(['primary', 'secondary']), inMbit: z.number(), outMbit: z.number() }),
    ),
  }),
  z.object({
    type: z.literal('attack'),
    at,
    state: z.enum(['active', 'over']),
    kind: signalClassSchema,
    evidence: z.string(),
    inboundMbit: z.number(),
    firstEvidenceAt: at,
    detectedAt: at,
  }),
  z.object({
    type: z.literal('admitted'),
    at,
    method: z.string(),
    name: z.string(),
    serial: z.string(),
    services: z.array(z.string()),
    address: z.string(),
    until: at,
  }),
  z.object({
    type: z.literal('overlay-flood'),
    at,
    state: z.enum(['retreated', 'returned']),
    evidence: z.string(),
    inboundMbit: z.number(),
    left: z.boolean().describe('whether it left the ring; a ring that is too small to lose it keeps it'),
    firstEvidenceAt: at,
    detectedAt: at,
  }),
  z.object({ type: z.literal('refused'), at, code: z.string(), message: z.string(), who: z.string() }),
  z.object({
    type: z.literal('renewal'),
    at,
    id: z.string().describe('to answer with'),
    serial: z.string().describe('of the certificate that the asker has proven to hold'),
    requestPem: z.string().describe('a PKCS#10 request for the new key'),
  }),
  z.object({
    type: z.literal('move-progress'),
    at,
    move: z.string(),
    startedAt: at,
    bytes: z.number().describe('of the state, on their way or there'),
    totalBytes: z.number(),
    wireBytes: z.number(),
    level: z.number().int().describe('of zstd; 0 for none'),
  }),
  z.object({
    type: z.literal('lifeline'),
    at,
    service: z.string(),
    side: z.enum(['storage', 'pod']),
    state: z.enum(['opening', 'open', 'cut', 'closed']),
  }),
]);
export type AgentEvent = z.infer<typeof agentEventSchema>;

const move = z.object({ move: z.string() });
const method = <I extends z.ZodType, O extends z.ZodType>(docs: string, input: I, output: O) =>
  ({ kind: 'command', docs, input, output }) as const;

export const agentContract = {
  'agent.hello': method(
    'Who answers.',
    nothing,
    z.object({ host: z.string().nullable(), version: z.string(), startedAt: at, configured: z.boolean() }),
  ),
  'agent.meet': method(
    'Begins the proof of who speaks: the agent shows itself, and says what the control plane has to sign. Nothing else is answered before it has.',
    z.object({ host: z.string().min(1).max(63), nonce: z.base64().length(44) }),
    z.object({
      nonce: z.string(),
      obeys: z
        .string()
        .nullable()
        .describe("the key of the authority that it obeys, SHA-256; null for nobody's"),
      proof: z
        .object({ certificatePem: pem, signature: z.string() })
        .nullable()
        .describe('by the key of its host; null while it has no certificate'),
    }),
  ),
  'agent.prove': method(
    'Proves that the control plane holds the key of its authority. An agent that obeys nobody yet obeys it from now on.',
    z.object({ authorityPem: pem.max(16_384), signature: z.string().max(1_024) }),
    nothing,
  ),
  'agent.handOver': method(
    'Gives the agent to the control plane of another authority: its roles end, its key and its certificate are forgotten. Refused while a pod is here.',
    z.object({ authorityPem: pem.max(16_384) }),
    nothing,
  ),
  'agent.request': method(
    'Makes a key where there is none and returns a certificate request for it; the key never leaves the host.',
    z.object({ name: z.string() }),
    z.object({ requestPem: z.string() }),
  ),
  'agent.configure': method('Sets what the agent is. Kept durably.', agentConfigurationSchema, nothing),
  'agent.revoke': method(
    'Replaces the set of revoked serials and cuts live links that hold one.',
    z.object({ serials: z.array(z.string()) }),
    z.object({ linksCut: z.number().int() }),
  ),
  'agent.nodes': method(
    'Hands over a newer signed list of overlay nodes; an older one changes nothing. Kept durably.',
    z.object({ list: nodeListSchema }),
    z.object({ version: z.number().int().describe('of the list that holds now') }),
  ),
  'overlay.status': method('The ring and the sessions as this node sees them.', nothing, overlayStatusSchema),
  'overlay.renewed': method(
    'Answers the event "renewal": the certificate, or why there is none.',
    z.object({
      id: z.string(),
      certificatePem: pem.nullable(),
      error: z.object({ code: z.string(), message: z.string() }).nullable(),
    }),
    nothing,
  ),
  'overlay.fetch': method(
    'The location record of a service, as the directory gives it.',
    z.object({ service: z.string() }),
    z.object({ record: z.unknown() }),
  ),
  'overlay.prepare': method(
    'Dials sites ahead of need, so that the first session after a move pays no handshake.',
    z.object({ sites: z.array(endpointSchema).max(16) }),
    nothing,
  ),
  'agent.organisations': method(
    'Replaces the organisations whose certificates count; links of those that are gone are cut. Kept durably.',
    z.object({ organisations: z.array(pem).max(64) }),
    z.object({ linksCut: z.number().int() }),
  ),
  'overlay.paths': method(
    'Replaces the path policies of all services; sessions that begin or resume from now on follow them. Kept durably.',
    z.object({ paths: agentConfigurationSchema.shape.paths }),
    nothing,
  ),
  'overlay.doorRequest': method(
    'Makes the keys of the door and of the access point’s own authority where there are none, and returns requests for them.',
    nothing,
    z.object({ doorPem: z.string(), authorityPem: z.string() }),
  ),
  'overlay.door': method(
    'Opens the door for browsers, or changes what it knows. Kept durably.',
    doorConfigurationSchema,
    nothing,
  ),
  'overlay.visitors': method(
    'Whoever was admitted here by a test or a password since the agent began, and whose certificate has not ended.',
    nothing,
    z.object({
      visitors: z.array(
        z.object({
          serial: z.string(),
          name: z.string(),
          method: z.string(),
          services: z.array(z.string()),
          until: at,
        }),
      ),
    }),
  ),
  'site.status': method('Pods, moves and lifelines of this site.', nothing, siteStatusSchema),
  'site.takes': method(
    'Whether this site takes a service in at this moment: it is not attacked and has room. Nothing is reserved by asking.',
    z.object({
      service: z.string(),
      podsMost: z.number().int().default(4),
      memoryMb: z.number().int().default(64),
    }),
    z.object({ why: z.string().nullable().describe('why it does not; null when it does') }),
  ),
  'site.start': method(
    'Starts a service here from its image and announces it.',
    z.object({ service: serviceDescriptionSchema, delegation: delegationSchema }),
    nothing,
  ),
  'site.stop': method(
    'Stops a service here and removes its pod.',
    z.object({ service: z.string() }),
    nothing,
  ),
  'site.decoy': method(
    'Begins or ends to answer strangers for a service that has left its home here, with what it answered them before. Refused while the service lives here.',
    z.object({ service: z.string(), port: z.number().int(), on: z.boolean() }),
    nothing,
  ),
  'site.facts': method(
    'What decides which pods can be woken here: kernel, processors, criu, images, memory.',
    nothing,
    siteFactsSchema,
  ),
  'source.inspect': method(
    'Looks through a running pod for what a move would fail with. Nothing stands still for it.',
    z.object({ service: z.string() }),
    z.object({
      findings: z.array(findingSchema),
      memoryBytes: z.number().int().describe('what its processes occupy'),
    }),
  ),
  'source.rehearse': method(
    'Freezes, dumps and thaws a pod where it stands, and measures it. Fails with what a move would fail with.',
    z.object({ service: z.string() }),
    rehearsalSchema,
  ),
  'source.measureWay': method(
    'Measures the way to another site by the stepping stone.',
    z.object({ target: endpointSchema }),
    z.object({ roundTripMs: z.number() }),
  ),
  'source.keepSpare': method(
    'Keeps another site nearly current with a pod that runs here, until it moves or it is told otherwise.',
    z.object({ service: z.string(), target: endpointSchema, everyMs: z.number().int().min(1_000) }),
    nothing,
  ),
  'source.dropSpare': method('Keeps it current no more.', z.object({ service: z.string() }), nothing),
  'source.prepare': method(
    'Opens the way to the target through the stepping stone, so that nothing is dialled while the service is frozen, and sends ahead what the pod consists of now.',
    z.object({ move: z.string(), service: z.string(), epoch: z.number().int(), target: endpointSchema }),
    nothing,
  ),
  'source.run': method(
    'Performs consecutive steps on the frozen side: freeze, dump, ship. Answers when the last one is done.',
    z.object({ move: z.string(), steps: z.array(z.enum(['freeze', 'dump', 'ship'])).min(1) }),
    z.object({
      phases: phaseTimesSchema,
      stateBytes: z.number(),
      wireBytes: z.number(),
      aheadBytes: z.number(),
      sessions: z.number().int(),
    }),
  ),
  'source.kill': method('After the commit: kills the frozen pod. It never runs again.', move, nothing),
  'source.rollback': method('Before the commit: thaws the pod and lifts its fence.', move, nothing),
  'storage.open': method(
    'Keeps a lifeline dialled, through the stepping stone, to the site where the service now is.',
    z.object({ service: z.string(), path: z.string(), target: endpointSchema }),
    nothing,
  ),
  'storage.close': method('Ends the lifeline of a service.', z.object({ service: z.string() }), nothing),
  'target.prepare': method(
    'Makes room for a pod, fenced; mounts the lifeline where the storage is elsewhere.',
    z.object({
      move: z.string(),
      service: serviceDescriptionSchema,
      epoch: z.number().int(),
      source: z.string().describe('the site that may send the state'),
      storageSite: z.string().describe('where the storage is; this host when it comes home'),
    }),
    nothing,
  ),
  'target.run': method(
    'Performs consecutive steps on the arrived state: verify, restore (with a probe inside the fence).',
    z.object({ move: z.string(), steps: z.array(z.enum(['verify', 'restore'])).min(1) }),
    z.object({ phases: phaseTimesSchema }),
  ),
  'target.commit': method(
    'Lifts the fence, opens the door for the service and announces the new epoch.',
    z.object({ move: z.string(), delegation: delegationSchema }),
    z.object({ phases: phaseTimesSchema }),
  ),
  'target.discard': method('Removes a pod that was never committed.', move, nothing),
  events: {
    kind: 'stream',
    docs: 'What the agent sees happen. Begins with whatever alarm is still active.',
    input: nothing,
    output: agentEventSchema,
  },
} as const;
export type AgentContract = typeof agentContract;
