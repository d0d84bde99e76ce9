import { z } from 'zod';

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

/** A servlet (or, with one hop, an access point) asks a site for a stream to a service's gateway. */
export const sessionHeaderSchema = z.strictObject({ kind: z.literal('session'), service, epoch, port });
