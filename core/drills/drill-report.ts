import { z } from 'zod';
import { attackClassSchema, drillKindSchema } from '../contract/domain.ts';
import { probeSummarySchema } from '../measure/probe-sample.ts';

const ms = z.number().nonnegative().nullable();

/** One statement of a drill's hypothesis, what was measured, and the bar it had to reach. */
export const hypothesisSchema = z.object({
  statement: z.string().describe('What was expected, as a sentence.'),
  measured: z.number().nullable().describe('The figure measured; null when it never came about.'),
  comparison: z.enum(['atMost', 'atLeast']).describe('How the figure is compared with the bar.'),
  bar: z.number().describe('The bar.'),
  unit: z.string().describe('Unit of both figures.'),
  held: z.boolean().describe('Whether the statement held.'),
});
export type Hypothesis = z.infer<typeof hypothesisSchema>;

const wayQuietSchema = z.object({
  p50Ms: z.number().nonnegative().describe('Median in milliseconds before the attack.'),
  p95Ms: z.number().nonnegative().describe('95th percentile in milliseconds before the attack.'),
});

/** The report of a drill. Units stand in the names: Ms milliseconds, Mbit megabits a second, Bytes bytes. */
export const drillReportSchema = z.object({
  verdict: z.boolean().describe('Whether every statement of the hypothesis held.'),
  drill: drillKindSchema.describe('Which drill it was.'),
  startedAt: z.number().describe('Milliseconds since the epoch at which the quiet phase began.'),
  attack: z.object({
    kind: z.enum([...drillKindSchema.options, 'none']).describe('What was sent.'),
    targetSite: z.string().describe('The site whose primary link it filled, or the overlay node.'),
    bots: z.array(z.string()).describe('The hosts that sent it.'),
    offeredMbit: z.number().nonnegative().describe('Megabits a second offered by all of them together.'),
    seconds: z.number().nonnegative().describe('How long they sent.'),
  }),
  alarms: z.number().int().nonnegative().describe('Alarms raised at the target site during the drill.'),
  detectedClass: attackClassSchema.nullable().describe('What the first of them took the attack for.'),
  falseClasses: z.array(attackClassSchema).describe('What else it was taken for during the drill.'),
  detectedMs: ms.describe('From the first flood packet to the alarm; null without an alarm.'),
  decidedMs: ms.describe('From the first flood packet to the decision to move; null without a decision.'),
  phases: z
    .object({
      freezeMs: ms,
      dumpMs: ms,
      shipMs: ms,
      verifyMs: ms,
      restoreMs: ms,
      announceMs: ms,
      firstAnswerMs: ms.describe(
        'From the end of the announcement to the first complete right answer of the new site.',
      ),
    })
    .describe("The move's phases, in milliseconds; null for one that did not happen."),
  outageMs: ms.describe(
    'From the freeze to the first complete right answer of the new site through the overlay.',
  ),
  disruptionMs: ms.describe(
    'From the first flood packet until answers through the overlay are within twice the quiet p95 for 500 ms.',
  ),
  stateBytes: z.number().int().nonnegative().nullable().describe("Size of the service's frozen state."),
  wireBytes: z
    .number()
    .int()
    .nonnegative()
    .nullable()
    .describe('Bytes of it that went over the secondary link, before and after the freeze.'),
  aheadBytes: z
    .number()
    .int()
    .nonnegative()
    .nullable()
    .describe('Those of them that were sent ahead, while the service still ran.'),
  overlay: probeSummarySchema.describe('The person who comes through the overlay, over the whole drill.'),
  direct: probeSummarySchema.describe('The person who comes directly, over the whole drill.'),
  quiet: z
    .object({ overlay: wayQuietSchema, direct: wayQuietSchema })
    .describe('The same two before anything was sent.'),
  floodedDirect: probeSummarySchema.nullable().describe('The direct person while the attack was on.'),
  hypothesis: z.array(hypothesisSchema).describe('Every statement with its figures.'),
  notes: z.array(z.string()).describe('What a reader has to know about how the figures came about.'),
});
export type DrillReport = z.infer<typeof drillReportSchema>;
