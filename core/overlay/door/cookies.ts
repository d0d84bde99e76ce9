import { fieldsOf } from '../http/end-to-end-headers.ts';

/** The browser's own rules keep cookies of this prefix to the host, to HTTPS and to the whole path (RFC 6265bis §4.1.3.2). */
const reserved = '__Host-move-';

export const admissionCookie = `${reserved}admission`;
export const serviceCookie = `${reserved}service`;

/** The one value of a cookie; undefined when it is absent or comes twice. */
export function cookieValue(header: string | undefined, name: string): string | undefined {
  const found = pairsOf(header).filter((pair) => pair.startsWith(`${name}=`));
  return found.length === 1 ? found[0]?.slice(name.length + 1) : undefined;
}

/** What a service gets to see: every cookie but the door's own. Undefined when none is left. */
export function withoutDoorCookies(header: string): string | undefined {
  const kept = pairsOf(header).filter((pair) => !isReserved(pair));
  return kept.length > 0 ? kept.join('; ') : undefined;
}

/** An answer's fields without cookies by which a service would pose as the door. */
export function withoutForgedCookies(rawHeaders: readonly string[]): string[] {
  return [...fieldsOf(rawHeaders)].flatMap(([name, value]) =>
    name.toLowerCase() === 'set-cookie' && isReserved(value) ? [] : [name, value],
  );
}

/** A cookie of the door's. It is gone with the browser's session, or after `maximumSeconds`. */
export function doorCookie(name: string, value: string, maximumSeconds?: number): string {
  const age = maximumSeconds === undefined ? '' : `; Max-Age=${Math.max(0, Math.floor(maximumSeconds))}`;
  return `${name}=${value}; Path=/; Secure; HttpOnly; SameSite=Lax${age}`;
}

// Browsers compare the prefix without regard to case.
const isReserved = (pair: string) => pair.trimStart().toLowerCase().startsWith(reserved.toLowerCase());

function pairsOf(header: string | undefined): string[] {
  return (header ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair !== '');
}
