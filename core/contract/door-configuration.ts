import { z } from 'zod';

const pem = z.string().startsWith('-----BEGIN ');
const hostname = z.string().min(1).max(253);

/** One who may come in by password and one-time code; `core/credentials` checks what is in it. */
const personSchema = z.object({
  name: z.string(),
  hash: z.unknown(),
  codeSecret: z.string(),
  services: z.array(hostname),
});

/** What an access point's door for browsers needs. It may change at any time without anybody being disconnected. */
export const doorConfigurationSchema = z.object({
  listen: z.object({ address: z.string(), port: z.int().min(0).max(65_535) }),
  certificatePem: pem.describe('the door’s own, for its addresses and the host names of the services'),
  authorityPem: pem.describe('the constrained authority of this access point'),
  services: z.array(z.object({ hostname, port: z.int().min(1).max(65_535) })),
  humanTest: z.object({
    services: z.array(hostname).describe('open to whoever passes the human test'),
    lifetimeMinutes: z.number().min(1).max(1440),
    sound: z.boolean().default(true).describe('whether it may be taken by sounds too'),
  }),
  people: z.array(personSchema).describe('who may come in by password; holds secrets'),
  accessPoints: z.array(z.string()).describe('host:port where forwarders enter; this one first'),
});
export type DoorConfiguration = z.infer<typeof doorConfigurationSchema>;
