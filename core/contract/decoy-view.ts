import { z } from 'zod';

const at = z.number().describe('milliseconds since the epoch');

/** What an attacker sees at the old address of a service, beside what is true. */
export const decoyViewSchema = z.object({
  service: z.string(),
  address: z.string().describe('the public address and port of its home'),
  seen: z
    .object({
      at,
      answered: z.boolean(),
      status: z.number().int().nullable(),
      server: z.string().nullable().describe('what it says it is'),
      bytes: z.number().int(),
      milliseconds: z.number(),
      excerpt: z.string().describe('the beginning of the page, without its markup'),
      fault: z.string().nullable().describe('why there was no answer'),
    })
    .describe('the first page, as anybody on the internet gets it'),
  truth: z.object({
    site: z.string(),
    atHome: z.boolean(),
    state: z.string(),
    answeredBy: z.enum(['the service', 'a decoy', 'nobody']),
  }),
  decoy: z
    .object({
      since: at,
      takenAt: at,
      requests: z.number().int(),
      turnedAway: z.number().int(),
      connections: z.number().int(),
      bytes: z.number(),
    })
    .nullable(),
});
export type DecoyView = z.infer<typeof decoyViewSchema>;
