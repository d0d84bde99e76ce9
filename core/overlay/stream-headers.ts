import { z } from 'zod';
import { hopLimit } from './ring-route.ts';

const service = z.string().min(1).max(253);
const port = z.int().min(1).max(65_535);
const epoch = z.int().min(1);

/** A client asks its access point for a connection to a service. */
export const serviceHeaderSchema = z.strictObject({ kind: z.literal('service'), service, port });

/** An access point asks a servlet to carry a session to a site. */
export const servletHeaderSchema = z.strictObject({
  kind: z.literal('servlet'),
  service,
  site: z.string().min(1).max(64),
  address: z.string().min(3).max(300),
  port,
  epoch,
});

/** A node on the ring's route to the directory node asks the next one to carry a session on. */
export const ringHeaderSchema = z.strictObject({
  kind: z.literal('ring'),
  service,
  port,
  epoch,
  /** Hops that are left. */
  hops: z.int().min(0).max(hopLimit),
  /** Whether the asked node is the directory node, as its predecessor knows. */
  last: z.boolean(),
});

/** An access point asks a node how far it is from a site. */
export const siteDistanceSchema = z.strictObject({
  site: z.string().min(1).max(64),
  address: z.string().min(3).max(300),
});

/** A servlet (or, with one hop, an access point) asks a site for a stream to a service's gateway. */
export const sessionHeaderSchema = z.strictObject({ kind: z.literal('session'), service, epoch, port });
