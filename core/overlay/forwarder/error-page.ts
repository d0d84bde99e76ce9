import { STATUS_CODES } from 'node:http';
import type { MoveError } from '../../runtime/errors.ts';

const statusOf: Record<string, number> = {
  NOT_PROTECTED: 403,
  SCOPE_DENIED: 403,
  ADDRESS_DENIED: 403,
  ACCESS_POINT_DENIED: 403,
  REQUEST_INVALID: 400,
  TOO_MANY_SESSIONS: 503,
  TOO_MANY_STREAMS: 503,
  PARKED_TOO_LONG: 504,
  DEADLINE_EXCEEDED: 504,
};

const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

export interface ErrorPage {
  status: number;
  reason: string;
  headers: Record<string, string>;
  body: string;
}

/** What a browser shows when the forwarder cannot or must not pass a request on. */
export function errorPage(error: MoveError): ErrorPage {
  const status = statusOf[error.code] ?? 502;
  const reason = STATUS_CODES[status] ?? 'Error';
  const body = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${status} ${reason}</title>
<meta name="color-scheme" content="light dark">
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem}code{opacity:.7}</style>
</head><body><h1>${status === 403 ? 'Not through this forwarder' : 'The service cannot be reached'}</h1>
<p>${escapeHtml(error.message)}</p><p><code>${escapeHtml(error.code)}</code></p></body></html>
`;
  return {
    status,
    reason,
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-length': String(Buffer.byteLength(body)),
      'cache-control': 'no-store',
      'x-move-error': error.code,
      connection: 'close',
    },
    body,
  };
}

/** The same as raw bytes, for a connection that has left HTTP's hands. */
export function rawErrorPage(error: MoveError): string {
  const page = errorPage(error);
  const headers = Object.entries(page.headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${page.status} ${page.reason}\r\n${headers.join('')}\r\n${page.body}`;
}
