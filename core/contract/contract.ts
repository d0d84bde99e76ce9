import { z } from 'zod';
import type { Client } from './channel.ts';
import { decoyViewSchema } from './decoy-view.ts';
import {
  credentialSchema,
  drillKindSchema,
  drillSchema,
  journalEventSchema,
  movePhaseNameSchema,
  movePolicySchema,
  moveSchema,
  pathPolicySchema,
  proposalSchema,
  ringNodeSchema,
  ringVerificationSchema,
  servicePathSchema,
  serviceSchema,
  spareSchema,
  visitorSchema,
} from './domain.ts';
import { pathChoiceSchema } from './path-secrecy.ts';
import { predictionCheckSchema, preflightSchema } from './preflight.ts';
import { responseSettingsSchema, serviceCapacitySchema } from './response-settings.ts';
import { serviceFileSchema } from './service-file.ts';
import { stateMessageSchema } from './state.ts';
import { telemetrySchema } from './telemetry.ts';

/**
 * The one contract. Electron's IPC, the browser host's WebSocket, the command line and the tests'
 * doubles are derived from this value; nobody writes a channel name by hand.
 */

interface Method<I extends z.ZodType, O extends z.ZodType> {
  kind: 'command' | 'query';
  docs: string;
  input: I;
  output: O;
}
interface Stream<I extends z.ZodType, O extends z.ZodType> {
  kind: 'stream';
  docs: string;
  input: I;
  output: O;
}

const command = <I extends z.ZodType, O extends z.ZodType>(
  docs: string,
  input: I,
  output: O,
): Method<I, O> => ({
  kind: 'command',
  docs,
  input,
  output,
});
const query = <I extends z.ZodType, O extends z.ZodType>(
  docs: string,
  input: I,
  output: O,
): Method<I, O> => ({
  kind: 'query',
  docs,
  input,
  output,
});
const stream = <I extends z.ZodType, O extends z.ZodType>(
  docs: string,
  input: I,
  output: O,
): Stream<I, O> => ({
  kind: 'stream',
  docs,
  input,
  output,
});

const nothing = z.object({});
const hostname = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/, 'must be a lower-case host name such as shop.example');
const serviceText = z.object({
  text: z.string().max(65_536).describe('the service file, YAML'),
  source: z.string().min(1).max(1024).default('service file').describe('what errors call it'),
});
const hostIdentifier = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, 'must be a host name such as b1');

export const requirementSchema = z.object({
  id: z.string(),
  state: z.enum(['ok', 'missing', 'degraded']),
  finding: z.string(),
  remedy: z.string(),
});
export type Requirement = z.infer<typeof requirementSchema>;

const admissionSchema = z.object({
  lifetimeMinutes: z.number(),
  sound: z.boolean().describe('whether the human test may be taken by sounds as well'),
  services: z.array(z.object({ service: z.string(), humanTest: z.boolean() })),
  people: z.array(z.object({ name: z.string(), services: z.array(z.string()) })),
});

export const contract = {
  'credential.issue': command(
    'Issues a client certificate by hand. The key leaves core once, here, and is kept nowhere.',
    z.object({
      name: z.string().min(1).max(64).describe('the person or machine that will hold it'),
      services: z.union([z.literal('any'), z.array(hostname).min(1).max(64)]),
      days: z.number().min(0.0001).max(825).describe('lifetime in days'),
      password: z.string().min(8).max(256).describe('protects the PKCS#12 file'),
      renewals: z
        .int()
        .min(0)
        .max(1000)
        .default(12)
        .describe('how often its holder may renew it, each time for the same lifetime'),
    }),
    z.object({
      credential: credentialSchema,
      certificatePem: z.string(),
      keyPem: z.string(),
      trustPem: z.string(),
      pkcs12Base64: z.string(),
    }),
  ),
  'credential.sign': command(
    'Signs a certificate request: the key stays with whoever made it.',
    z.object({
      name: z
        .string()
        .min(1)
        .max(64)
        .describe('the person or machine that made the request, as the request says'),
      services: z.union([z.literal('any'), z.array(hostname).min(1).max(64)]),
      days: z.number().min(0.0001).max(825).describe('lifetime in days'),
      requestPem: z.string().startsWith('-----BEGIN ').max(65_536),
    }),
    z.object({ credential: credentialSchema, certificatePem: z.string(), trustPem: z.string() }),
  ),
  'credential.list': query(
    'Lists what the authority has issued, newest first.',
    z.object({ includeExpired: z.boolean().default(false) }),
    z.object({ credentials: z.array(credentialSchema) }),
  ),
  'credential.revoke': command(
    'Revokes a certificate: every access point cuts its live links within a second.',
    z.object({
      serial: z.string().regex(/^[0-9a-fA-F]{2,40}$/, 'must be a hexadecimal serial number'),
      reason: z
        .enum(['unspecified', 'keyCompromise', 'affiliationChanged', 'superseded', 'cessationOfOperation'])
        .default('unspecified'),
    }),
    z.object({ credential: credentialSchema, accessPointsTold: z.number().int(), toldWithinMs: z.number() }),
  ),
  'credential.trust': query(
    "Exports the authority's certificate and its revocation list.",
    nothing,
    z.object({ trustPem: z.string(), revocationListPem: z.string() }),
  ),
  'organisation.admit': command(
    'Lets another organisation share the overlay: signs its authority, for its services and sites alone. Revoking that certificate ends it.',
    z.object({
      name: z.string().min(1).max(63).describe('the organisation, as its request says'),
      services: z.array(hostname).min(1).max(64).describe('the services that it may run and move'),
      sites: z
        .array(z.string().min(1).max(63))
        .min(1)
        .max(64)
        .describe('the machines that it may run them on'),
      days: z.number().min(0.05).max(398).default(365).describe('lifetime in days'),
      requestPem: z.string().startsWith('-----BEGIN ').max(65_536),
      sshKey: z
        .string()
        .max(512)
        .optional()
        .describe('its public key for SSH: those of its sites that are driven from here are given to it'),
    }),
    z.object({
      credential: credentialSchema,
      sites: z.array(z.string()),
      certificatePem: z.string(),
      trustPem: z.string(),
      nodesTold: z.number().int(),
      given: z.array(z.string()).describe('sites that were driven from here and are its own now'),
      share: z
        .unknown()
        .describe('what its own control plane has to know of the overlay; null where no site was given'),
    }),
  ),
  'organisation.list': query(
    'The organisations that share the overlay now, and what each may certify.',
    nothing,
    z.object({
      organisations: z.array(
        z.object({
          serial: z.string(),
          name: z.string(),
          services: z.array(z.string()),
          sites: z.array(z.string()),
          notAfter: z.number(),
        }),
      ),
    }),
  ),
  'admission.show': query(
    'Who comes in without a certificate: for how long the human test admits, to which services, and who has a password.',
    nothing,
    admissionSchema,
  ),
  'admission.set': command(
    'Sets for how long the human test admits, whether by sounds too, and which services it opens. Reaches every access point at once; whoever is in a service that is closed is put out.',
    z.object({
      lifetimeMinutes: z.number().min(1).max(1440).optional().describe('minutes, 1 to 1440'),
      sound: z
        .enum(['on', 'off'])
        .optional()
        .describe(
          'whether it may be taken by recognising sounds; without, who cannot see has no way through',
        ),
      open: z.array(hostname).max(64).default([]).describe('a service that human-tested people may reach'),
      close: z.array(hostname).max(64).default([]).describe('a service that they may not reach any more'),
    }),
    admissionSchema.extend({ accessPointsTold: z.number().int() }),
  ),
  'admission.addPerson': command(
    'Lets somebody come in by password and one-time code. The second step leaves core once, here.',
    z.object({
      name: z.string().min(1).max(64),
      password: z.string().min(10).max(256),
      services: z.array(hostname).min(1).max(64),
    }),
    z.object({
      name: z.string(),
      services: z.array(z.string()),
      otpauth: z.string().describe('what an authenticator program takes; a secret'),
      accessPointsTold: z.number().int(),
    }),
  ),
  'admission.removePerson': command(
    'Takes somebody’s password away.',
    z.object({ name: z.string().min(1).max(64) }),
    z.object({ name: z.string(), accessPointsTold: z.number().int() }),
  ),
  'admission.visitors': query(
    'Who is admitted where by a test or a password, to what, and until when.',
    nothing,
    z.object({ visitors: z.array(visitorSchema) }),
  ),
  'admission.revoke': command(
    'Revokes what one visitor earned: their access point cuts what it carries for them within a second. A new test is a new admission.',
    z.object({
      serial: z.string().regex(/^[0-9a-fA-F]{2,40}$/, 'must be a hexadecimal serial number'),
    }),
    z.object({ visitor: visitorSchema, accessPointsTold: z.number().int(), toldWithinMs: z.number() }),
  ),
  'move.start': command(
    'Moves a service now, attack or not. Without a target one is drawn at random among healthy sites.',
    z.object({
      service: hostname,
      to: hostIdentifier.optional(),
      pauseAt: movePhaseNameSchema.optional().describe('stop before this phase until move.continue'),
    }),
    z.object({ move: moveSchema }),
  ),
  'move.wait': query(
    'Answers when the move has ended or paused, or when the limit has passed.',
    z.object({ move: z.string(), limitMs: z.number().int().min(1).max(600_000).default(120_000) }),
    z.object({ move: moveSchema }),
  ),
  'move.continue': command(
    'Lets a paused move go on.',
    z.object({ move: z.string() }),
    z.object({ move: moveSchema }),
  ),
  'move.cancel': command(
    'Takes a move back that has not been committed: the source is thawed where it stood.',
    z.object({ move: z.string() }),
    z.object({ move: moveSchema }),
  ),
  'proposal.approve': command(
    'Approves a proposed move; it starts at once.',
    z.object({ proposal: z.string() }),
    z.object({ proposal: proposalSchema }),
  ),
  'proposal.decline': command(
    'Declines a proposed move; the service stays.',
    z.object({ proposal: z.string() }),
    z.object({ proposal: proposalSchema }),
  ),
  'service.check': query(
    'Reads a service file without adding it; faults are named with their line.',
    serviceText,
    z.object({ file: serviceFileSchema }),
  ),
  'service.add': command(
    'Adds a service from its file and starts it at its home site. It stays until it is removed.',
    serviceText,
    z.object({ service: serviceSchema }),
  ),
  'service.remove': command(
    'Stops a service that was added, wherever it is, and forgets it. Its storage stays at its home.',
    z.object({ service: hostname }),
    z.object({ service: hostname }),
  ),
  'service.preflight': command(
    'Will it move? Looks for what would keep a service from being carried, rehearses its freeze and dump (it stands still for some tenths of a second), asks every other site, and predicts the outage for each; shows what earlier predictions were worth.',
    z.object({
      service: hostname,
      inspectOnly: z.boolean().default(false).describe('do not rehearse: nothing stands still'),
    }),
    z.object({ preflight: preflightSchema, checks: z.array(predictionCheckSchema) }),
  ),
  'spare.keep': command(
    'Keeps a site nearly current with a service: its changed pages are sent there again and again while it runs, so that a move to it has little left to send. One for each service, and the first choice of its moves while it is current.',
    z.object({
      service: hostname,
      site: hostIdentifier.describe('the site that is kept current'),
      everySeconds: z
        .number()
        .int()
        .min(1)
        .max(3600)
        .default(10)
        .describe('seconds from the end of one round to the next'),
    }),
    z.object({ spare: spareSchema }),
  ),
  'spare.drop': command(
    'Keeps the spare of a service current no more.',
    z.object({ service: hostname }),
    z.object({ service: hostname }),
  ),
  'spare.list': query(
    'Lists the spares: how current each is, and what keeping it costs. No round freezes its service.',
    nothing,
    z.object({ spares: z.array(spareSchema) }),
  ),
  'service.policy': command(
    'Sets how a service answers attacks. Who decides: manual (alarm only), approve (ask), automatic (go ahead); what is not named stays as it is.',
    z.object({
      service: hostname,
      policy: movePolicySchema.optional().describe('who decides when it is attacked'),
      deadline: z
        .number()
        .int()
        .min(0)
        .max(86_400)
        .optional()
        .describe('seconds that a proposed move waits for a person; 0: for as long as the attack lasts'),
      atDeadline: responseSettingsSchema.shape.atDeadline.optional(),
      home: responseSettingsSchema.shape.home.optional(),
      homeQuiet: responseSettingsSchema.shape.homeQuietSeconds.optional(),
      decoy: z
        .enum(['on', 'off'])
        .optional()
        .describe('whether its old address goes on answering as a decoy while it is away'),
    }),
    z.object({ service: hostname, policy: movePolicySchema, response: responseSettingsSchema }),
  ),
  'service.capacity': command(
    'Says what a service needs of the site it moves to, and where that is agreed in advance: there it is kept free for it. Elsewhere it is taken on demand.',
    z.object({
      service: hostname,
      processors: serviceCapacitySchema.shape.processors.optional(),
      memoryMb: serviceCapacitySchema.shape.memoryMb.optional(),
      reserve: z.array(hostIdentifier).max(64).default([]).describe('a site to reserve capacity at'),
      release: z
        .array(hostIdentifier)
        .max(64)
        .default([])
        .describe('a site where it is not reserved any more'),
    }),
    z.object({ service: hostname, capacity: serviceCapacitySchema }),
  ),
  'service.path': command(
    'Sets how sessions that begin now travel through the overlay; those that are open keep their path until they resume.',
    z
      .object({
        service: hostname,
        policy: pathPolicySchema,
        nearest: servicePathSchema.shape.nearest.default(1),
      })
      .refine(({ policy, nearest }) => nearest === 1 || policy === 'two-hop', {
        path: ['nearest'],
        error: 'can be more than 1 with the policy two-hop only',
      }),
    z.object({
      service: hostname,
      path: servicePathSchema,
      accessPointsTold: z.number().int(),
      toldWithinMs: z.number(),
      secrecy: pathChoiceSchema,
    }),
  ),
  'service.paths': query(
    'Lists the path policies and what each keeps secret in this overlay, or in one of another size.',
    z.object({
      service: hostname,
      nodes: z
        .number()
        .int()
        .min(2)
        .max(100_000)
        .optional()
        .describe('overlay nodes to compute with; default: those that answer now'),
    }),
    z.object({
      service: hostname,
      path: servicePathSchema,
      route: z.array(z.string()),
      nodes: z.number().int(),
      choices: z.array(pathChoiceSchema),
    }),
  ),
  'decoy.show': query(
    'What an attacker gets at the old address of a service, asked just now from outside its site, beside the truth.',
    z.object({ service: hostname }),
    decoyViewSchema,
  ),
  'drill.start': command(
    'Starts a bounded attack inside the lab and watches what it does. A service that is elsewhere is brought home first. Refused for any target outside the lab.',
    z.object({
      kind: drillKindSchema,
      to: hostIdentifier
        .optional()
        .describe('the site that the service shall move to; not its home, which is what is attacked'),
      autoApprove: z.boolean().default(true),
    }),
    z.object({ drill: drillSchema }),
  ),
  'drill.kinds': query(
    'The drills that there are, and what each expects to see.',
    z.object({}),
    z.object({ kinds: z.array(z.object({ kind: drillKindSchema, expects: z.string() })) }),
  ),
  'drill.wait': query(
    'Answers when the drill has been judged, aborted or failed, or when the limit has passed.',
    z.object({ drill: z.string(), limitMs: z.number().int().min(1).max(600_000).default(180_000) }),
    z.object({ drill: drillSchema }),
  ),
  'flood.start': command(
    'Starts the bounded demo flood: three bots against the primary link of the site where the service lives.',
    z.object({
      service: hostname.optional(),
      seconds: z.number().int().min(1).max(60).default(20),
      target: z.ipv4().optional().describe('an address inside the lab; anything else is refused'),
    }),
    z.object({ flood: z.string() }),
  ),
  'emergency.stop': command(
    'Stops every flood and drill, takes uncommitted moves back, and lets nothing start until released.',
    nothing,
    z.object({
      floodsStopped: z.number().int(),
      drillsStopped: z.number().int(),
      movesTakenBack: z.number().int(),
    }),
  ),
  'emergency.release': command('Lifts the emergency stop.', nothing, nothing),
  'ring.show': query(
    'What every overlay node that answers knows of the ring: its neighbours, its fingers and the location records that it holds.',
    nothing,
    z.object({ nodes: z.array(ringNodeSchema) }),
  ),
  'ring.verify': query(
    "Checks Zave's invariant on the live ring, from the states of all its members, and names who breaks it. States are read one after the other, so a violation counts only when it lasts over several readings.",
    nothing,
    ringVerificationSchema,
  ),
  'journal.read': query(
    'Reads journal events, oldest first.',
    z.object({
      after: z.number().int().min(0).default(0),
      limit: z.number().int().min(1).max(1000).default(200),
    }),
    z.object({ events: z.array(journalEventSchema), next: z.number().int().nullable() }),
  ),
  'journal.verify': query(
    "Checks the journal's hash chain from the first record to the head.",
    nothing,
    z.object({ ok: z.boolean(), checked: z.number().int(), firstBad: z.number().int().nullable() }),
  ),
  doctor: query(
    'Lists every requirement and what to do about it.',
    nothing,
    z.object({ requirements: z.array(requirementSchema) }),
  ),
  state: stream('The whole state once, then small deltas in order.', nothing, stateMessageSchema),
  telemetry: stream('Sampled latency and link figures.', nothing, telemetrySchema),
} as const;

export type Contract = typeof contract;
export type MethodName = {
  [N in keyof Contract]: Contract[N] extends { kind: 'stream' } ? never : N;
}[keyof Contract];
/** What a caller may leave out (defaults) is optional here. */
export type InputOf<N extends keyof Contract> = z.input<Contract[N]['input']>;
/** What the handler sees after checking. */
export type CheckedInputOf<N extends keyof Contract> = z.output<Contract[N]['input']>;
export type OutputOf<N extends keyof Contract> = z.output<Contract[N]['output']>;

/** What every shell holds: typed calls and streams over whatever carries them. */
export type ContractClient = Client<Contract>;
