import { MoveError } from '../../runtime/errors.ts';
import { type HttpRequest, hostOf } from '../http/http-exchange.ts';

const longestForm = 8192;

/** `https://host:port` as the browser knows the origin of a request. */
export const originUrl = (request: HttpRequest): string => `https://${hostOf(request) ?? ''}`;

/**
 * Takes a form that one of the door's own pages sent, as a navigation: no other page's form, and no script, not even
 * of a service that shares the origin, which could read the answer.
 * @throws MoveError `REQUEST_FOREIGN`.
 */
export function guardForm(request: HttpRequest): void {
  const { origin } = request.headers;
  const site = request.headers['sec-fetch-site'];
  const destination = request.headers['sec-fetch-dest'];
  if (
    (origin === undefined || origin === originUrl(request)) &&
    (site === undefined || site === 'same-origin') &&
    (destination === undefined || destination === 'document')
  )
    return;
  throw new MoveError(
    'REQUEST_FOREIGN',
    'This form was sent by another page than the access point’s own, and is not taken. Begin at /.move/.',
  );
}

/** A connection that a foreign page asks for would come with this browser's certificate. @throws MoveError `REQUEST_FOREIGN`. */
export function guardUpgrade(request: HttpRequest): void {
  const { origin } = request.headers;
  if (origin === undefined || origin === originUrl(request)) return;
  throw new MoveError('REQUEST_FOREIGN', 'Another site’s page may not open connections here.');
}

/** The fields of a form. @throws MoveError `REQUEST_INVALID` for anything else, or more than 8 KiB. */
export async function readForm(request: HttpRequest): Promise<URLSearchParams> {
  const type = (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase();
  if (type !== '' && type !== 'application/x-www-form-urlencoded') throw unfit('it is no form');
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > longestForm) throw unfit(`it is longer than ${longestForm} bytes`);
    parts.push(part);
  }
  return new URLSearchParams(Buffer.concat(parts).toString('utf8'));
}

function unfit(why: string): MoveError {
  return new MoveError('REQUEST_INVALID', `What was sent cannot be used: ${why}. Begin at /.move/.`);
}
