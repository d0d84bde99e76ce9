import { z } from 'zod';
import { responseSettingsSchema, serviceCapacitySchema, siteOfferSchema } from './response-settings.ts';

/**
 * The domain types that every shell and core share. Units stand in the names: `Ms` milliseconds,
 * `At` milliseconds since the epoch, `Mbit` megabits per second, `Bytes` bytes.
 */

const at = z.number().describe('milliseconds since the epoch');
const ms = z.number().nonnegative();

export const errorBodySchema = z.object({
  code: z.string(),
  message: z.string(),
  details: z.record(z.string(), z.unknown()).optional(),
});

export const reachSchema = z.enum(['unknown', 'reaching', 'up', 'down']);

export const consoleInfoSchema = z.object({
  id: z.literal('console'),
  version: z.string(),
  labName: z.string().nullable(),
  phase: z.enum(['starting', 'ready', 'degraded', 'stopping']),
  phaseText: z.string().describe('one sentence for people about what the control plane is doing'),
  halted: z.boolean().describe('emergency stop: nothing moves and no drill runs until released'),
  readOnly: z.boolean(),
  startedAt: at,
});
export type ConsoleInfo = z.infer<typeof consoleInfoSchema>;

export const ispSchema = z.object({ id: z.string(), name: z.string() });

export const ringRoleSchema = z.enum(['access-point', 'servlet', 'directory', 'replica']);

export const overlayNodeSchema = z.object({
  id: z.string(),
  address: z.string(),
  reach: reachSchema,
  ringIdentifier: z.string().nullable().describe('hexadecimal position on the ring'),
  successors: z.array(z.string()),
  predecessor: z.string().nullable(),
  fingers: z.array(z.string()),
  roles: z.array(ringRoleSchema).describe('what the node is doing for some service right now'),
  flooded: z
    .boolean()
    .default(false)
    .describe('its link is flooded: it has left the ring and sends clients elsewhere'),
  clientLinks: z.number().int(),
  sessions: z.number().int(),
  holder: z
    .string()
    .optional()
    .describe(
      'who drives it, where that is the control plane of somebody else: this one does not look at it',
    ),
});
export type OverlayNode = z.infer<typeof overlayNodeSchema>;

export const ringSchema = z.object({
  id: z.literal('ring'),
  holds: z.boolean().nullable().describe('null until first verified'),
  culprit: z.string().nullable(),
  rule: z.string().nullable(),
  verifiedAt: at.nullable(),
});

/** What `move ring verify` found on the live ring (Zave's invariant). */
export const ringVerificationSchema = z.object({
  ok: z.boolean().describe('true when the invariant holds'),
  members: z.array(z.string()).describe('the members whose states were read, in the order of the ring'),
  absent: z.array(z.string()).describe('overlay nodes that are not members now: they left, or never joined'),
  silent: z.array(z.string()).describe('overlay nodes that did not answer; they count as failed'),
  successorListLength: z.number().int(),
  readings: z.number().int().describe('how often the states were read; a violation counts when it lasts'),
  violations: z.array(
    z.object({
      rule: z.string(),
      culprit: z.string().describe('the node whose state breaks the rule'),
      sentence: z.string(),
    }),
  ),
});
export type RingVerification = z.infer<typeof ringVerificationSchema>;

/** An overlay node's own variables (MOVE section 3.1), with names instead of identifiers where they are known. */
export const ringNodeSchema = z.object({
  id: z.string(),
  ringIdentifier: z.string().describe('160 bits in hexadecimal'),
  predecessor: z.string().nullable(),
  successors: z.array(z.string()).describe('nearest first'),
  fingers: z
    .array(
      z.object({
        power: z.number().int().describe('the finger begins 2^power behind the node'),
        node: z.string(),
      }),
    )
    .describe('one entry for each power whose node is known'),
  records: z.array(
    z.object({
      service: z.string(),
      site: z.string(),
      epoch: z.number().int(),
      owner: z.boolean().describe('whether the node is the directory node of the service, not a replica'),
    }),
  ),
});
export type RingNode = z.infer<typeof ringNodeSchema>;

export const siteSchema = z.object({
  id: z.string(),
  isp: z.string(),
  reach: reachSchema,
  primaryAddress: z.string(),
  primaryCapacityMbit: z.number(),
  secondaryCapacityMbit: z.number(),
  primaryInMbit: z.number(),
  primaryOutMbit: z.number(),
  secondaryInMbit: z.number(),
  secondaryOutMbit: z.number(),
  pods: z.array(z.string()).describe('services that run here'),
  attacked: z.boolean(),
  surge: z.string().nullable().optional().describe('while an honest surge is on: its figures, as a sentence'),
  offers: siteOfferSchema.optional().describe('what it takes in; as defaultSiteOffer where nothing is said'),
  decoys: z
    .array(z.string())
    .optional()
    .describe('services that have left and at whose old address something answers here for them'),
  holder: z
    .string()
    .optional()
    .describe(
      'who drives it, where that is the control plane of somebody else: this one does not look at it',
    ),
});
export type Site = z.infer<typeof siteSchema>;

export const stoneSchema = z.object({
  id: z.string(),
  isp: z.string(),
  reach: reachSchema,
  relays: z.number().int().describe('streams it is relaying now'),
  holder: z
    .string()
    .optional()
    .describe(
      'who drives it, where that is the control plane of somebody else: this one does not look at it',
    ),
});
export type Stone = z.infer<typeof stoneSchema>;

export const clientHostSchema = z.object({
  id: z.string(),
  role: z.enum(['client', 'bot']),
  reach: reachSchema,
  path: z.enum(['overlay', 'direct', 'none']).describe('by which way it uses services now'),
  services: z.array(z.string()).describe('those that it uses'),
  activity: z.string().describe('what it is doing, in words'),
});
export type ClientHost = z.infer<typeof clientHostSchema>;

export const movePolicySchema = z.enum(['manual', 'approve', 'automatic']);
export type MovePolicy = z.infer<typeof movePolicySchema>;

export const pathPolicySchema = z
  .enum(['one-hop', 'two-hop', 'full-ring'])
  .describe(
    'from the access point to the site: at once, through a servlet, or over the ring to the directory node and its servlet',
  );
export type PathPolicy = z.infer<typeof pathPolicySchema>;

/** How a service's sessions travel through the overlay (MOVE section 3.2). */
export const servicePathSchema = z.object({
  policy: pathPolicySchema,
  nearest: z
    .number()
    .int()
    .min(1)
    .max(16)
    .describe('with two hops: of so many servlets drawn at random the nearest is taken; 1 is plain random'),
});
export type ServicePath = z.infer<typeof servicePathSchema>;

/** What a service has until somebody chooses: a random servlet. */
export const defaultServicePath: ServicePath = { policy: 'two-hop', nearest: 1 };

/** What a service's pod has used since it was made, at all of its sites together. */
export const serviceUsageSchema = z.object({
  processorMs: z.number(),
  memoryBytes: z.number().describe('now, without file pages that could be given back at once'),
  processes: z.number().int().describe('now'),
  receivedBytes: z.number(),
  sentBytes: z.number(),
});
export type ServiceUsage = z.infer<typeof serviceUsageSchema>;

export const serviceSchema = z.object({
  id: z.string().describe('the hostname'),
  site: z.string(),
  homeSite: z.string(),
  epoch: z.number().int(),
  state: z.enum(['starting', 'running', 'moving', 'down']),
  policy: movePolicySchema,
  response: responseSettingsSchema
    .optional()
    .describe('deadline, way home, decoy; as defaultResponse until somebody chooses'),
  capacity: serviceCapacitySchema
    .optional()
    .describe('what it needs and where that is reserved; as defaultServiceCapacity until somebody says'),
  staysBehind: z.array(z.string()),
  sessions: z.number().int().describe('sessions open through the overlay'),
  directory: z.string().nullable().describe('the directory node'),
  accessPoint: z.string().nullable(),
  servlet: z.string().nullable().describe('the servlet of the most recent path'),
  path: servicePathSchema
    .default(defaultServicePath)
    .describe('how sessions that begin now travel through the overlay'),
  route: z
    .array(z.string())
    .default([])
    .describe(
      'overlay nodes of the most recent path, from the access point to the one that talks to the site',
    ),
  usage: serviceUsageSchema.nullable().default(null).describe('null until its site has told it'),
});
export type Service = z.infer<typeof serviceSchema>;

export const lifelineSchema = z.object({
  id: z.string(),
  service: z.string(),
  fromSite: z.string(),
  stone: z.string(),
  toSite: z.string(),
  state: z.enum(['opening', 'open', 'cut', 'closed']),
  bytesPerSecond: z.number(),
  roundTripMs: z.number().nullable(),
});
export type Lifeline = z.infer<typeof lifelineSchema>;

/** The classes that signals are told apart by. An honest surge is none of them: it is no attack. */
export const attackClassSchema = z.enum([
  'udp-flood',
  'syn-flood',
  'icmp-flood',
  'http-flood',
  'slow-http',
  'expensive-requests',
  'router-flood',
]);
export type AttackClass = z.infer<typeof attackClassSchema>;
/** Whatever signals are taken for; an honest surge is shown and answered by nothing. */
export const signalClassSchema = z.enum([...attackClassSchema.options, 'honest-surge']);

/** A site that is kept nearly current with a service, and what that costs. */
export const spareSchema = z.object({
  id: z.string().describe('the service'),
  site: z.string(),
  everySeconds: z.number().int(),
  state: z
    .enum(['beginning', 'current', 'behind', 'idle'])
    .describe('behind: the latest round failed, or is late; idle: the service is at that very site now'),
  currentAt: at.nullable().describe('when the pages that the site has were read'),
  rounds: z.number().int().describe('since it is kept from where the service is now, as all that is counted'),
  bytes: z.number().describe('on the wire'),
  lastBytes: z.number().describe('on the wire, in the latest round'),
  lastMs: z.number().describe('how long the latest round took'),
  processorMs: z.number().describe('of the agent where the service is, while rounds were under way'),
  fault: z.string().nullable().describe('why the latest round failed'),
});
export type Spare = z.infer<typeof spareSchema>;

export const attackSchema = z.object({
  id: z.string(),
  site: z.string(),
  kind: attackClassSchema,
  state: z.enum(['active', 'over']),
  evidence: z.string().describe('the figures behind the alarm, as a sentence'),
  inboundMbit: z.number(),
  sources: z.number().int().nullable(),
  firstEvidenceAt: at,
  detectedAt: at,
  reportedAt: at,
  overAt: at.nullable(),
});
export type Attack = z.infer<typeof attackSchema>;

export const proposalSchema = z.object({
  id: z.string(),
  service: z.string(),
  from: z.string(),
  to: z.string(),
  reasons: z.array(z.string()),
  predictedOutageMs: ms,
  predictedFrom: z.string().describe('what the prediction rests on'),
  sessions: z.number().int(),
  staysBehind: z.array(z.string()),
  undo: z.string(),
  kind: z
    .enum(['away', 'home'])
    .optional()
    .describe('away from an attack (default), or home after the storm'),
  deadlineAt: at.nullable().optional().describe('when nobody is waited for any more; none: never'),
  atDeadline: z.enum(['move', 'stay']).optional().describe('what happens then'),
  attack: z.string().nullable(),
  state: z.enum(['waiting', 'approved', 'declined', 'withdrawn']),
  decidedBy: z.string().nullable(),
  createdAt: at,
  decidedAt: at.nullable(),
  move: z.string().nullable(),
});
export type Proposal = z.infer<typeof proposalSchema>;

export const movePhaseNames = [
  'prepare',
  'freeze',
  'dump',
  'ship',
  'verify',
  'restore',
  'commit',
  'announce',
  'firstAnswer',
] as const;
export const movePhaseNameSchema = z.enum(movePhaseNames);
export type MovePhaseName = z.infer<typeof movePhaseNameSchema>;

export const movePhaseSchema = z.object({
  phase: movePhaseNameSchema,
  startedAt: at,
  endedAt: at.nullable(),
});
export type MovePhase = z.infer<typeof movePhaseSchema>;

/** What a person is told about a move that did not go as it should: one sentence each. */
export const moveFailureSchema = z.object({
  phase: movePhaseNameSchema,
  happened: z.string().describe('what happened'),
  safe: z.string().describe('what is safe'),
  advice: z.string().describe('what to do'),
});
export type MoveFailure = z.infer<typeof moveFailureSchema>;

export const moveSchema = z.object({
  id: z.string(),
  service: z.string(),
  from: z.string(),
  to: z.string(),
  stone: z.string(),
  epoch: z.number().int().describe('the epoch that the service has after the move'),
  state: z.enum(['queued', 'running', 'paused', 'committed', 'done', 'rolled-back', 'failed']),
  queuedAt: at.optional().describe('when it was asked for'),
  waitsFor: z
    .array(z.string())
    .optional()
    .describe('while it is queued: moves that use the same source, target or stone and go first'),
  requestedBy: z.string(),
  reason: z.string(),
  attack: z.string().nullable(),
  pausedBefore: movePhaseNameSchema.nullable(),
  phases: z.array(movePhaseSchema),
  startedAt: at,
  endedAt: at.nullable(),
  outageMs: ms.nullable().describe('freeze to the first complete right answer through the overlay'),
  predictedOutageMs: ms.nullable(),
  stateBytes: z.number().int().nullable(),
  wireBytes: z
    .number()
    .int()
    .nullable()
    .describe('bytes of state that travelled, before and after the freeze'),
  aheadBytes: z.number().int().nullable().describe('those of them that were sent ahead of the freeze'),
  sessionsCarried: z.number().int().nullable(),
  sessionsLost: z.number().int().nullable(),
  error: errorBodySchema.nullable(),
  progress: z
    .object({
      bytes: z.number().describe('of the state, on their way or there'),
      totalBytes: z.number(),
      wireBytes: z.number(),
      bytesPerSecond: z.number().describe('of the state, since it began to go'),
      level: z
        .number()
        .int()
        .describe('of zstd, chosen by what link and processor were seen to carry; 0: none'),
    })
    .nullable()
    .default(null)
    .describe('how far the state of a frozen service has come'),
  failure: moveFailureSchema
    .nullable()
    .default(null)
    .describe('where, how and how safely it failed, and what to do'),
  owed: z
    .enum(['kill', 'rollback'])
    .nullable()
    .default(null)
    .describe(
      'what is still tried because a host did not answer: to have the frozen copy at the source killed, or to take the move back',
    ),
});
export type Move = z.infer<typeof moveSchema>;

/** Whether a move has begun and not ended: its service is where that move has brought it. */
export const isUnderWay = ({ state }: Pick<Move, 'state'>): boolean =>
  state === 'running' || state === 'paused' || state === 'committed';

export const credentialSchema = z.object({
  id: z.string().describe('serial number, hexadecimal'),
  name: z.string(),
  profile: z.string(),
  services: z.union([z.array(z.string()), z.literal('any')]),
  notBefore: at,
  notAfter: at,
  revokedAt: at.nullable(),
  reason: z.string().nullable(),
  fingerprint256: z.string(),
});
export type Credential = z.infer<typeof credentialSchema>;

export const admissionSettingsSchema = z.object({
  id: z.literal('admission'),
  lifetimeMinutes: z.number().describe('for which passing the human test admits'),
  sound: z
    .boolean()
    .default(true)
    .describe('whether the human test may be taken by recognising sounds, for who cannot see the letters'),
  open: z
    .record(z.string(), z.boolean())
    .describe('services that were opened or closed to human-tested people; others stand as they came'),
});
export type AdmissionSettings = z.infer<typeof admissionSettingsSchema>;

export const visitorSchema = z.object({
  id: z.string().describe('serial number of the certificate that was earned, hexadecimal'),
  name: z.string(),
  method: z.string().describe('human-test or password'),
  accessPoint: z.string().describe('the only one where it is good'),
  services: z.array(z.string()),
  until: at,
  revokedAt: at.nullable(),
});
export type Visitor = z.infer<typeof visitorSchema>;

/** As the paper has it: 30 minutes (MOVE section 2.2.2). */
export const defaultAdmission: AdmissionSettings = {
  id: 'admission',
  lifetimeMinutes: 30,
  sound: true,
  open: {},
};

export const drillKindSchema = z.enum([
  'udp-flood',
  'syn-flood',
  'icmp-flood',
  'http-flood',
  'slow-http',
  'expensive-requests',
  'node-flood',
  'quiet-minute',
  'honest-surge',
]);
export type DrillKind = z.infer<typeof drillKindSchema>;

export const drillSchema = z.object({
  id: z.string(),
  kind: z.string(),
  state: z.enum(['preparing', 'quiet', 'attack', 'tail', 'judged', 'aborted', 'failed']),
  site: z.string(),
  broughtHomeFrom: z
    .string()
    .nullable()
    .default(null)
    .describe('the site that the service is brought home from before the drill begins'),
  startedAt: at,
  floodStartedAt: at.nullable(),
  floodEndsAt: at.nullable(),
  endedAt: at.nullable(),
  verdict: z.boolean().nullable(),
  report: z.record(z.string(), z.unknown()).nullable(),
  error: errorBodySchema.nullable(),
});
export type Drill = z.infer<typeof drillSchema>;

export const floodSchema = z.object({
  id: z.string(),
  site: z.string(),
  bots: z.array(z.string()),
  offeredMbit: z.number(),
  startedAt: at,
  endsAt: at,
  state: z.enum(['running', 'over']),
});
export type Flood = z.infer<typeof floodSchema>;

export const eventToneSchema = z.enum(['plain', 'good', 'attack', 'decision', 'lifeline', 'muted']);
export const journalEventSchema = z.object({
  id: z.string().describe('the journal sequence number, as text'),
  at,
  type: z.string(),
  tone: eventToneSchema,
  text: z.string().describe('the event as a sentence'),
  subject: z.string().nullable(),
});
export type JournalEvent = z.infer<typeof journalEventSchema>;
