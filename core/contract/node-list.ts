import { z } from 'zod';

const listedNodeSchema = z.strictObject({
  name: z.string().min(1).max(63),
  address: z
    .string()
    .max(300)
    .regex(/^(\[[0-9a-fA-F:.]+\]|[^:[\]]+):\d{1,5}$/, 'host:port')
    .describe('where it takes links'),
  identifier: z.string().min(1).max(128).describe('place on the ring'),
});
export type ListedNode = z.infer<typeof listedNodeSchema>;

const statementShape = {
  version: z.int().min(1).describe('rises with every list that is signed'),
  issuedAt: z.int().min(0).describe('milliseconds since the epoch'),
  expiresAt: z.int().min(0).describe('milliseconds since the epoch'),
  nodes: z.array(listedNodeSchema).min(1).max(1024),
  revoked: z
    .array(z.string().regex(/^[0-9A-F]{2,40}$/))
    .max(1024)
    .optional()
    .describe('serials of overlay nodes that were revoked before they ended; absent for none'),
};

/** The overlay nodes there are, signed by the administrator's authority: where clients and nodes can enter. */
export const nodeListSchema = z.strictObject({ ...statementShape, signature: z.base64().min(1).max(1024) });
export type NodeList = z.infer<typeof nodeListSchema>;
export type NodeListStatement = Omit<NodeList, 'signature'>;

/** What of a list is signed. */
export const nodeListStatement = ({ version, issuedAt, expiresAt, nodes, revoked }: NodeListStatement) => ({
  version,
  issuedAt,
  expiresAt,
  nodes: nodes.map(({ name, address, identifier }) => ({ name, address, identifier })),
  ...(revoked && revoked.length > 0 ? { revoked } : {}),
});
