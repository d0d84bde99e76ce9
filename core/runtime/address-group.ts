import { isIPv4, isIPv6 } from 'node:net';

/**
 * Whom limits take for one: an IPv4 address, also one that came in over an IPv6 socket, or the /64 of an IPv6
 * address, which a single customer has to himself (RFC 6177). Anything else, as a pipe's end, is `unknown`.
 */
export function addressGroup(address: string | undefined): string {
  if (address === undefined) return 'unknown';
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '');
  if (isIPv4(plain)) return plain;
  const bare = plain.replace(/%.*$/, '');
  if (!isIPv6(bare)) return 'unknown';
  const [head = '', tail] = bare.split('::');
  const groupsOf = (text: string) => text.split(':').filter((group) => group !== '');
  const before = groupsOf(head);
  // A dotted tail stands for two groups.
  const after = groupsOf(tail ?? '').flatMap((group) => (group.includes('.') ? ['0', '0'] : [group]));
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  const groups = [...before, ...Array.from({ length: zeros }, () => '0'), ...after];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
