import { z } from 'zod';

/**
 * How one probe ended. `ok`: the right bytes, whole. `wrong`: an answer, but another status or other
 * bytes. `reset`: the connection broke. `refused`: no connection could be made. `timeout`: no complete
 * answer within the limit.
 */
export const probeOutcomes = ['ok', 'reset', 'wrong', 'timeout', 'refused'] as const;

/** One request of a probe and how it ended. */
export const probeSampleSchema = z.object({
  startedAt: z.number().describe('Milliseconds since the epoch at which the request was sent.'),
  durationMs: z
    .number()
    .nonnegative()
    .describe('Milliseconds until the last byte of the answer, or the failure.'),
  outcome: z.enum(probeOutcomes),
  detail: z.string().max(300).optional().describe('For a failure: what was seen instead.'),
});
export type ProbeSample = z.infer<typeof probeSampleSchema>;
export type ProbeOutcome = ProbeSample['outcome'];

/** What a run of probes amounts to. A failed request counts in the percentiles as the whole limit. */
export const probeSummarySchema = z.object({
  requests: z.number().int().nonnegative().describe('Requests that ended, rightly or not.'),
  failures: z
    .number()
    .int()
    .nonnegative()
    .describe('Requests that ended in a reset, a wrong byte or no answer in time.'),
  p50Ms: z.number().nonnegative().describe('Median duration in milliseconds; a failure counts as the limit.'),
  p95Ms: z.number().nonnegative().describe('95th percentile in milliseconds; a failure counts as the limit.'),
  longestStallMs: z
    .number()
    .nonnegative()
    .describe('Longest time in milliseconds without a right answer while at least one request was waiting.'),
});
export type ProbeSummary = z.infer<typeof probeSummarySchema>;

/** When the sample's last byte (or failure) came, in milliseconds since the epoch. */
export function endOf(sample: ProbeSample): number {
  return sample.startedAt + sample.durationMs;
}
