import type { IncomingMessage, ServerResponse } from 'node:http';
import { askedByOwnName } from './proxy-auto-config.ts';
import type { ForwarderStatus } from './status.ts';

const page = /^\/status(\.txt)?(?:\?|$)/;

/** Whether a request in origin form asks for the forwarder's status, and not for a service. */
export const isStatus = (url: string): boolean => page.test(url);

/**
 * Answers `/status` as JSON and `/status.txt` as one line. @throws MoveError `ADDRESS_DENIED` when it was asked for under
 * another name than the proxy's own.
 */
export function answerStatus(
  request: IncomingMessage,
  response: ServerResponse,
  status: ForwarderStatus,
): void {
  const { localAddress = '', localPort = 0 } = request.socket;
  askedByOwnName(request.headers.host, { host: localAddress, port: localPort }, '/status');
  const isText = page.exec(request.url ?? '')?.[1] !== undefined;
  const body = isText ? `${status.line}\n` : `${JSON.stringify(status, null, 2)}\n`;
  response.writeHead(200, {
    'content-type': isText ? 'text/plain; charset=utf-8' : 'application/json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}
