import { z } from 'zod';
import { siteOfferSchema } from '../contract/response-settings.ts';

const addressesSchema = z.object({
  primary: z.ipv4().optional(),
  secondary: z.ipv4().optional(),
  global: z.ipv4().optional(),
  internal: z.ipv4().optional(),
});

const perLink = <T extends z.ZodType>(value: T) =>
  z.object({
    primary: value.optional(),
    secondary: value.optional(),
    global: value.optional(),
    internal: value.optional(),
  });

const labHostSchema = z.object({
  name: z.string(),
  role: z.enum(['site', 'stone', 'overlay', 'client', 'bot', 'admin']),
  /** The ISP of a site or a stone. */
  isp: z.string().optional(),
  /** The access network of everybody else. */
  network: z.string().optional(),
  /**
   * Where its sshd listens. A stone's is reached through the admin host's socket
   * /run/move/stones/NAME.sock, a site's through its stone, all others' from the admin host.
   */
  ssh: z.object({ address: z.ipv4(), port: z.literal(22) }),
  /** The stone through which a site's sshd is reached. */
  viaStone: z.string().optional(),
  addresses: addressesSchema,
  interfaces: perLink(z.string()),
  rateMbit: perLink(z.number()),
  /** What a site takes in of services from elsewhere; the product's default where the specification says nothing. */
  offers: siteOfferSchema.optional(),
  /** The inode of its network namespace, as `stat -L /proc/self/ns/net` says on the host. */
  netnsInode: z.number(),
});

/**
 * What the lab says about itself: to the console in the state directory, and to every host read-only at
 * /etc/move/lab.json. The console reaches the lab by nothing but what stands here.
 */
export const labManifestSchema = z.object({
  labId: z.string(),
  name: z.string(),
  startedAt: z.string(),
  specHash: z.string(),
  keeperPid: z.number(),
  /** The unix socket on the workstation that leads to the admin host's sshd. */
  bridgeSocket: z.string(),
  controlSocket: z.string(),
  sshKeyPath: z.string(),
  /** An OpenSSH client configuration with which `ssh -F FILE HOST` reaches every host by name. */
  sshConfigPath: z.string(),
  /** The one host key of all of this lab's sshds, as in a known_hosts file without the host's name. */
  sshHostKey: z.string(),
  sshHostKeyAlias: z.string(),
  sshUser: z.literal('root'),
  /** How long wires are made: by the kernel, or by the lab's own delayd. */
  delay: z.enum(['netem', 'delayd']),
  hosts: z.record(z.string(), labHostSchema),
  /** What the specification says of the overlay's ring; without it, what suits its size. */
  ring: z.object({ successorListLength: z.number() }).optional(),
  services: z.array(
    z.object({
      hostname: z.string(),
      homeSite: z.string(),
      image: z.string(),
      storage: z.string(),
      mountPoint: z.string(),
      port: z.number(),
    }),
  ),
  /** Milliseconds from network to network and back with nothing in the way; keys are ISPs and networks. */
  roundTripMs: z.record(z.string(), z.record(z.string(), z.number())),
});

/** What a control plane has to know of its hosts and of how to reach them: of a lab's manifest the part that is no lab's. */
export const fleetManifestSchema = labManifestSchema
  .pick({
    labId: true,
    name: true,
    bridgeSocket: true,
    sshKeyPath: true,
    sshHostKey: true,
    sshUser: true,
    hosts: true,
    ring: true,
    services: true,
  })
  .extend({ isShare: z.boolean().optional().describe('the part of an overlay that its operator shares') });
export type FleetManifest = z.infer<typeof fleetManifestSchema>;

export type LabManifest = z.infer<typeof labManifestSchema>;
export type LabHost = z.infer<typeof labHostSchema>;
export type LabLinkName = keyof LabHost['addresses'];
