import { z } from 'zod';
import { channelProtocol } from './channel-protocol.ts';

/**
 * What a shell may say first on the local socket: what it is, so that the journal names it, and which
 * protocol it speaks. A shell that says nothing is a terminal.
 */
export const attachMessageSchema = z.object({
  attach: z.enum(['window', 'terminal']),
  protocol: z.literal(channelProtocol),
});
export type AttachMessage = z.infer<typeof attachMessageSchema>;
