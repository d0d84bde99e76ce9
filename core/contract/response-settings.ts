import { z } from 'zod';

/** What a hosting site offers to services from elsewhere, and what a service needs of the site it comes to. */

export const siteOfferSchema = z.object({
  pods: z.number().int().min(0).max(64).describe('services that it takes at most, its own included'),
  processors: z.number().min(0.05).max(1024).describe('processors that it gives to all of them together'),
  memoryMb: z
    .number()
    .int()
    .min(16)
    .max(1 << 24)
    .describe('megabytes that it gives to all of them together'),
});
export type SiteOffer = z.infer<typeof siteOfferSchema>;

/** What a site offers whose specification says nothing. */
export const defaultSiteOffer: SiteOffer = { pods: 4, processors: 2, memoryMb: 1024 };

export const serviceCapacitySchema = z.object({
  processors: z.number().min(0.01).max(1024).describe('processors that it needs'),
  memoryMb: z
    .number()
    .int()
    .min(1)
    .max(1 << 24)
    .describe('megabytes that it needs'),
  reservedAt: z
    .array(z.string())
    .max(64)
    .describe('sites at which this was agreed in advance: kept free for it, and preferred as targets'),
});
export type ServiceCapacity = z.infer<typeof serviceCapacitySchema>;

/** A service of which nobody has said anything takes what it finds, on demand. */
export const defaultServiceCapacity: ServiceCapacity = { processors: 0.25, memoryMb: 64, reservedAt: [] };

/** How a service answers attacks, beside who decides (MOVE section 2.4). Times are seconds. */
export const responseSettingsSchema = z.object({
  deadlineSeconds: z
    .number()
    .int()
    .min(1)
    .max(86_400)
    .nullable()
    .describe('how long a proposed move waits for a person; null for as long as the attack lasts'),
  atDeadline: z.enum(['move', 'stay']).describe('what happens when nobody has decided by then'),
  home: z
    .enum(['manual', 'approve', 'automatic'])
    .describe('who decides about the way home after the storm; manual: nobody proposes it'),
  homeQuietSeconds: z
    .number()
    .int()
    .min(5)
    .max(604_800)
    .describe('how long home must have been quiet; twice as long for each time that the storm came back'),
  decoy: z.boolean().describe('whether the old address goes on answering as a decoy'),
});
export type ResponseSettings = z.infer<typeof responseSettingsSchema>;

export const defaultResponse: ResponseSettings = {
  deadlineSeconds: null,
  atDeadline: 'stay',
  home: 'approve',
  homeQuietSeconds: 600,
  decoy: true,
};
