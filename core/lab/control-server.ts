import net from 'node:net';
import type { z } from 'zod';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { labRequestSchema, longestLine } from './control-protocol.ts';

/** Answers one request; what it throws crosses the socket as code, message and details. */
export type LabRequestHandler = (request: z.output<typeof labRequestSchema>) => Promise<unknown>;

/** Serves the lab's control socket: JSON lines, answered in the order they came on their connection. */
export function serveControl(socketPath: string, handle: LabRequestHandler): Promise<net.Server> {
  const server = net.createServer((socket) => {
    let text = '';
    let turn: Promise<void> = Promise.resolve();
    socket.setEncoding('utf8');
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > longestLine) {
        socket.destroy();
        return;
      }
      for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n')) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        turn = turn.then(async () => {
          const answer = await answerTo(line, handle);
          if (socket.writable) socket.write(`${JSON.stringify(answer)}\n`);
        });
      }
    });
  });
  server.maxConnections = 64;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, () => {
      server.off('error', reject);
      resolve(server);
    });
  });
}

async function answerTo(line: string, handle: LabRequestHandler) {
  try {
    const parsed = labRequestSchema.safeParse(JSON.parse(line));
    if (!parsed.success) {
      throw new MoveError('LAB_REQUEST_INVALID', 'The lab did not understand the request.', {
        issues: parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`),
      });
    }
    return { ok: true as const, result: await handle(parsed.data) };
  } catch (error) {
    return { ok: false as const, error: toMoveError(error).toBody() };
  }
}
