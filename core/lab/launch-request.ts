import { z } from 'zod';
import { labSpecSchema } from './spec.ts';

/** What the launcher, outside, hands to the lab's process, inside of the new namespaces. */
export const launchRequestSchema = z.object({
  labId: z.string(),
  home: z.string(),
  spec: labSpecSchema,
  specHash: z.string(),
  owner: z.object({ uid: z.number(), gid: z.number() }),
  cache: z.string(),
  node: z.string(),
  dist: z.string().nullable(),
  freezer: z.object({ version: z.union([z.literal(1), z.literal(2)]), directory: z.string() }),
  /** The sample document root of each service, by hostname. */
  samples: z.record(z.string(), z.string()),
});

export type LaunchRequest = z.infer<typeof launchRequestSchema>;
