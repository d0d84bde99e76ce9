import { z } from 'zod';

/**
 * Will it move? What was found about a service before anybody attacks it: what would keep it from being carried, which
 * sites could take it, what a rehearsal measured, and what earlier predictions were worth.
 */

const at = z.number().describe('milliseconds since the epoch');
const ms = z.number().nonnegative();

export const findingSchema = z.object({
  code: z.string(),
  severity: z.enum(['blocks', 'warns']),
  message: z.string().describe('what was found, and what to do about it'),
  subject: z.string().describe('the program or the site that it is about'),
});
export type Finding = z.infer<typeof findingSchema>;

/** One rehearsal: the pod was frozen, dumped and thawed where it stood. Nothing of it travelled. */
export const rehearsalSchema = z.object({
  at,
  silentMs: ms.describe('how long the service stood still for it'),
  freezeMs: ms,
  dumpMs: ms,
  stateBytes: z.number().int(),
  aheadBytes: z
    .number()
    .int()
    .describe('on the wire, what would be sent ahead; 0 when it is too large for that'),
  wireBytes: z.number().int().describe('on the wire, what would travel while the service is frozen'),
  wholeWireBytes: z.number().int().describe('the same when nothing could be sent ahead'),
  processes: z.number().int(),
  sessions: z.number().int(),
});
export type Rehearsal = z.infer<typeof rehearsalSchema>;

export const siteOutlookSchema = z.object({
  site: z.string(),
  usable: z.boolean().describe('whether the service could go there now'),
  findings: z.array(findingSchema),
  roundTripMs: ms.nullable().describe('from the service’s site by the stepping stone and back'),
  predictedOutageMs: ms.nullable(),
  basis: z.string().describe('what the prediction rests on'),
});
export type SiteOutlook = z.infer<typeof siteOutlookSchema>;

export const preflightSchema = z.object({
  id: z.string().describe('the service'),
  at,
  site: z.string().describe('where the service was'),
  verdict: z
    .enum(['moves', 'blocked', 'nowhere'])
    .describe('nowhere: it can be carried, but no site can take it'),
  findings: z.array(findingSchema).describe('about the service itself'),
  rehearsal: rehearsalSchema.nullable(),
  sites: z.array(siteOutlookSchema),
});
export type Preflight = z.infer<typeof preflightSchema>;

/** What a prediction was worth. */
export const predictionCheckSchema = z.object({
  move: z.string(),
  to: z.string(),
  at,
  predictedMs: ms,
  actualMs: ms,
  offByPercent: z.number().describe('positive when the outage was shorter than predicted'),
});

/** What a hosting site is, as far as it decides which pods can be woken there. */
export const siteFactsSchema = z.object({
  kernel: z.string(),
  processor: z.string(),
  features: z.array(z.string()).describe('of its processors, as the kernel names them'),
  criu: z.string().nullable(),
  gateway: z.string().describe('SHA-256 of the gateway’s program'),
  images: z.record(z.string(), z.string()).describe('base images, and what each was made from'),
  memoryAvailableBytes: z.number().int(),
});
export type SiteFacts = z.infer<typeof siteFactsSchema>;
