import { z } from 'zod';

/**
 * What a shell may say first on the local socket: what it is, so that the journal names it, and which
 * protocol it speaks. A shell that says nothing is a terminal.
 */
export const attachMessageSchema = z.object({
  attach: z.enum(['window', 'terminal']),
  protocol: z.literal('move-console.v1'),
});
export type AttachMessage = z.infer<typeof attachMessageSchema>;

/** The name of the message protocol between shells and the control plane. */
export const channelProtocol = 'move-console.v1';
