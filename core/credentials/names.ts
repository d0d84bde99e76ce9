import { isIP } from 'node:net';

/** Names of hosts, access points and other machines: short, lower case, safe in paths and logs. */
export function isMachineName(text: string): boolean {
  return /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/.test(text);
}

/** Names of people and their devices: 1 to 64 printable characters (64 is X.520's limit on a common name). */
export function isPersonName(text: string): boolean {
  return (
    text.isWellFormed() &&
    text.trim() === text &&
    /^[\p{L}\p{N}\p{M} ._'@+-]+$/u.test(text) &&
    text.length <= 64
  );
}

/** A host name after RFC 1123 in lower case, at most 253 characters; what a service is called. */
export function isServiceName(text: string): boolean {
  return (
    text.length <= 253 &&
    /^(?!\d+(?:\.\d+)*$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/.test(
      text,
    )
  );
}

/**
 * One spelling for each IP address, so that addresses can be compared as text: IPv6 in its shortest lower
 * case form (RFC 5952), IPv4-mapped IPv6 as plain IPv4. `null` when the text is no IP address.
 */
export function normaliseAddress(text: string): string | null {
  const bare = text.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
  if (isIP(bare) === 4) return bare;
  if (isIP(bare) !== 6 || bare.includes('%')) return null;
  return new URL(`http://[${bare}]/`).hostname.slice(1, -1);
}
