import net from 'node:net';
import { z } from 'zod';
import { MoveError } from '../runtime/errors.ts';

const linkName = z.enum(['primary', 'secondary', 'global', 'internal']);

/** What the lab's process can be asked over its control socket: one JSON line each way. */
export const labRequestSchema = z.discriminatedUnion('command', [
  z.strictObject({ command: z.literal('status') }),
  z.strictObject({ command: z.literal('down') }),
  z.strictObject({ command: z.literal('counters') }),
  z.strictObject({ command: z.literal('power'), host: z.string(), on: z.boolean() }),
  z.strictObject({ command: z.literal('link'), host: z.string(), link: linkName, up: z.boolean() }),
  z.strictObject({ command: z.literal('rotate'), host: z.string(), dropOld: z.boolean().default(false) }),
]);
export type LabRequest = z.input<typeof labRequestSchema>;

/** Bytes and packets at the router's end of one link: `toHost` is what a flood of the host fills. */
const linkCountersSchema = z.object({
  toHostBytes: z.number(),
  toHostPackets: z.number(),
  toHostDroppedPackets: z.number(),
  fromHostBytes: z.number(),
  fromHostPackets: z.number(),
});

export const labCountersSchema = z.object({
  /** host -> link -> counters */
  links: z.record(z.string(), z.record(z.string(), linkCountersSchema)),
  /** router -> rule -> packets that the rule dropped */
  rules: z.record(z.string(), z.record(z.string(), z.number())),
});
export type LabCounters = z.infer<typeof labCountersSchema>;

export const labStatusSchema = z.object({
  running: z.literal(true),
  labId: z.string(),
  name: z.string(),
  startedAt: z.string(),
  hosts: z.record(
    z.string(),
    z.object({
      role: z.string(),
      power: z.enum(['on', 'off']),
      cutLinks: z.array(z.string()),
      addresses: z.record(z.string(), z.string()),
    }),
  ),
});
export type LabRunningStatus = z.infer<typeof labStatusSchema>;

export const rotationSchema = z.object({ address: z.string(), oldAddresses: z.array(z.string()) });
export type Rotation = z.infer<typeof rotationSchema>;

const answerSchema = z.union([
  z.object({ ok: z.literal(true), result: z.unknown() }),
  z.object({
    ok: z.literal(false),
    error: z.object({
      code: z.string(),
      message: z.string(),
      details: z.record(z.string(), z.unknown()).optional(),
    }),
  }),
]);

/** The longest line either side accepts, in bytes. */
export const longestLine = 1 << 20;

/**
 * Asks the lab's process one thing.
 * @throws MoveError `LAB_NOT_RUNNING` when nobody listens, `LAB_SILENT` after `timeoutMs`, else the lab's own.
 */
export function askLab(socketPath: string, request: LabRequest, timeoutMs: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(socketPath);
    let text = '';
    const finish = (run: () => void) => {
      clearTimeout(timer);
      socket.destroy();
      run();
    };
    const timer = setTimeout(() => {
      const message =
        'The lab does not answer. Its log is lab/lab.log in the state directory; "lab down" removes it.';
      finish(() => reject(new MoveError('LAB_SILENT', message, { command: request.command })));
    }, timeoutMs);
    const absent = (cause?: unknown) =>
      finish(() =>
        reject(new MoveError('LAB_NOT_RUNNING', 'No lab is running. Start one with "lab up".', {}, cause)),
      );
    socket.setEncoding('utf8');
    socket.on('error', absent);
    socket.on('connect', () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on('close', () => absent());
    socket.on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end === -1 && text.length < longestLine) return;
      finish(() => {
        try {
          const answer = answerSchema.parse(JSON.parse(text.slice(0, end)));
          if (answer.ok) resolve(answer.result);
          else reject(MoveError.fromBody({ ...answer.error, details: answer.error.details ?? {} }));
        } catch (error) {
          reject(error);
        }
      });
    });
  });
}
