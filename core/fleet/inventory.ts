import { z } from 'zod';

/**
 * Where the hosts are and how one gets to them. A lab and rented machines give the same inventory;
 * from here on no code knows the difference (DESIGN.md, decision 5).
 */
export const fleetHostSchema = z.object({
  name: z.string(),
  role: z.enum(['site', 'stone', 'overlay', 'client', 'bot', 'admin']),
  isp: z.string().optional(),
  /**
   * How SSH reaches it: straight in, from another host by TCP, by a socket that it dialled out to, or by asking another
   * host for a passage to it, where that is all that one may do there.
   */
  reach: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('entry') }),
    z.object({ kind: z.literal('tcp'), from: z.string(), address: z.string(), port: z.number().int() }),
    z.object({ kind: z.literal('dialled-out'), from: z.string(), socket: z.string() }),
    z.object({ kind: z.literal('passage'), from: z.string(), command: z.string() }),
  ]),
});
export type FleetHost = z.infer<typeof fleetHostSchema>;

export const fleetInventorySchema = z.object({
  /** The unix socket or TCP address of the entry host's sshd. */
  entry: z.union([
    z.object({ socketPath: z.string() }),
    z.object({ address: z.string(), port: z.number().int() }),
  ]),
  user: z.string(),
  keyPath: z.string(),
  /** SHA-256 of the host key in base64 without padding, as `ssh-keygen -lf` prints it, by host; '*' for all. */
  hostKeys: z.record(z.string(), z.string()),
  hosts: z.record(z.string(), fleetHostSchema),
});
export type FleetInventory = z.infer<typeof fleetInventorySchema>;
