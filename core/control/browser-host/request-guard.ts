import type { IncomingMessage } from 'node:http';
import { channelProtocol } from '../channel-protocol.ts';
import type { SessionBook } from './session-book.ts';

/** Why a request is refused: an HTTP status and a sentence for the person who sees it. */
export interface Refusal {
  status: number;
  message: string;
}

const wrongHost: Refusal = {
  status: 421,
  message: 'The console answers only under the address that it was opened with.',
};
const noSession: Refusal = {
  status: 401,
  message:
    'This window has no session with the console. Start the console again to get a new one-time address.',
};

export const cookieName = (port: number) => `move-console-${port}`;

/** The session's secret from the cookie header, if there is exactly one. */
export function sessionSecret(request: IncomingMessage, port: number): string | undefined {
  const prefix = `${cookieName(port)}=`;
  const found = (request.headers.cookie ?? '')
    .split(';')
    .map((part) => part.trim())
    .filter((part) => part.startsWith(prefix));
  return found.length === 1 ? found[0]?.slice(prefix.length) : undefined;
}

/** Refuses names that somebody else's DNS points at loopback (DNS rebinding). */
export function guardHost(request: IncomingMessage, port: number): Refusal | null {
  return request.headers.host === `127.0.0.1:${port}` ? null : wrongHost;
}

/** What every request but the entry needs. */
export function guardSession(request: IncomingMessage, port: number, book: SessionBook): Refusal | null {
  return book.admits(sessionSecret(request, port)) ? null : noSession;
}

/** What a WebSocket needs before it is accepted: host, path, origin, session and protocol. */
export function guardChannel(request: IncomingMessage, port: number, book: SessionBook): Refusal | null {
  const host = guardHost(request, port);
  if (host) return host;
  if (request.url !== '/channel')
    return { status: 404, message: 'There is no channel at this path; it is /channel.' };
  if (request.headers.origin !== `http://127.0.0.1:${port}`)
    return { status: 403, message: "The channel takes only the console's own page." };
  const session = guardSession(request, port, book);
  if (session) return session;
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((part) => part.trim());
  return offered.includes(channelProtocol)
    ? null
    : { status: 400, message: `The channel speaks ${channelProtocol} and was not asked for it.` };
}
