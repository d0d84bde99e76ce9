import { z } from 'zod';

/** High-rate figures: sampled, never part of the state. One message about every half second. */
export const telemetrySchema = z.object({
  at: z.number(),
  latency: z.array(
    z.object({
      service: z.string(),
      path: z.enum(['overlay', 'direct']),
      count: z.number().int(),
      failures: z.number().int(),
      waiting: z.number().int().describe('probes that have no answer yet'),
      p50Ms: z.number().nullable(),
      p95Ms: z.number().nullable(),
      maximumMs: z.number().nullable(),
    }),
  ),
  transfers: z
    .array(
      z.object({
        move: z.string(),
        bytes: z.number(),
        totalBytes: z.number(),
        bytesPerSecond: z.number(),
      }),
    )
    .default([])
    .describe('states on their way'),
  links: z.array(
    z.object({
      host: z.string(),
      link: z.enum(['primary', 'secondary']),
      inMbit: z.number(),
      outMbit: z.number(),
    }),
  ),
});
export type Telemetry = z.infer<typeof telemetrySchema>;
