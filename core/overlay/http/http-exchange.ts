import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { constants, Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { fieldsOf } from './end-to-end-headers.ts';

/** A request as Node's server reads it, of HTTP/1.1 or HTTP/2. */
export type HttpRequest = IncomingMessage | Http2ServerRequest;
/** What answers it. */
export type HttpResponse = ServerResponse | Http2ServerResponse;

/**
 * The host that a request means: Host, or `:authority` of HTTP/2. Undefined where both are given and differ, which no
 * honest client sends (RFC 9113 §8.3.1).
 */
export function hostOf(request: HttpRequest): string | undefined {
  const { host } = request.headers;
  const authority = request.headers[':authority'];
  if (typeof authority !== 'string') return host;
  return host === undefined || host === authority ? authority : undefined;
}

/** The fields of a request without what HTTP/2 puts before them. */
export function requestFields(request: HttpRequest): string[] {
  return [...fieldsOf(request.rawHeaders)].flatMap(([name, value]) =>
    name.startsWith(':') ? [] : [name, value],
  );
}

/** Whether content comes with a request. */
export function hasContent(request: HttpRequest): boolean {
  if (request instanceof Http2ServerRequest) return !request.stream.endAfterHeaders;
  return (
    request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0
  );
}

/** Sends status and fields: a flat list as Node reads them, or by name. HTTP/2 has no place for a reason phrase. */
export function writeHead(
  response: HttpResponse,
  status: number,
  headers: string[] | OutgoingHttpHeaders,
  reason?: string,
): void {
  if (response instanceof Http2ServerResponse) {
    response.writeHead(status, Array.isArray(headers) ? byName(headers) : headers);
    return;
  }
  if (reason === undefined) response.writeHead(status, headers);
  else response.writeHead(status, reason, headers);
}

/** Whether nobody reads an answer any more. Node's answers of HTTP/2 do not say so by themselves. */
export function isGone(response: HttpResponse): boolean {
  return response instanceof Http2ServerResponse ? response.stream.destroyed : response.destroyed;
}

/** Ends an answer in its middle so that whoever reads it can tell: by a reset of its stream, or of the connection. */
export function breakOff(response: HttpResponse): void {
  if (response instanceof Http2ServerResponse) response.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  else response.destroy();
}

function byName(fields: readonly string[]): OutgoingHttpHeaders {
  const named: Record<string, string | string[]> = {};
  for (const [name, value] of fieldsOf(fields)) {
    const known = name.toLowerCase();
    const before = named[known];
    if (before === undefined) named[known] = value;
    else named[known] = [before, value].flat();
  }
  return named;
}
