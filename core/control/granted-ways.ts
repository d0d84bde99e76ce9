import { z } from 'zod';
import { shellQuote } from '../fleet/host-connection.ts';
import type { FleetManifest } from '../lab/manifest.ts';
import { stoneSocket } from '../lab/ssh-files.ts';

/** The public half of an organisation's key for SSH, as its home wrote it: nothing in it can be taken for an option. */
export const sshPublicKeySchema = z
  .string()
  .trim()
  .max(512)
  .regex(
    /^ssh-ed25519 [A-Za-z0-9+/]+={0,2}( [\w.@-]*)?$/,
    'this is no line of an ssh-ed25519 key; take the file that "organisation request" wrote',
  )
  .transform((line) => line.split(' ').slice(0, 2).join(' '));

/** What an organisation asks a host on its way for, to be let through to another one. */
export const passageTo = (host: string): string => `to ${host}`;

/** How the lines of an organisation are told from others in a host's list of keys. */
export const wayMark = (organisation: string): string => `organisation:${encodeURIComponent(organisation)}`;

/**
 * The line of each host's list of keys by which an organisation reaches its sites by SSH, and nothing else: its sites
 * in full; the entry and the stones of its sites for the next host of that way, whatever it asks for.
 */
export function grantedWays(
  { hosts }: Pick<FleetManifest, 'hosts'>,
  sites: readonly string[],
  organisation: string,
  publicKey: string,
): Map<string, string> {
  const lines = new Map<string, string>();
  const line = (options: string) => `${options}${publicKey} ${wayMark(organisation)}`;
  const passages = (ways: readonly (readonly [host: string, address: string])[]) => {
    const cases = ways.map(([host, address]) => `'${passageTo(host)}') exec socat - ${address};;`).join(' ');
    return line(`restrict,command="case \\"$SSH_ORIGINAL_COMMAND\\" in ${cases} esac; exit 1" `);
  };
  const given = sites.flatMap((site) => hosts[site] ?? []);
  const stones = [...new Set(given.flatMap(({ viaStone }) => viaStone ?? []))];
  for (const { name } of given) lines.set(name, line(''));
  for (const stone of stones)
    lines.set(
      stone,
      passages(
        given
          .filter(({ viaStone }) => viaStone === stone)
          .map(({ name, ssh }) => [name, `TCP:${ssh.address}:${ssh.port},nodelay`]),
      ),
    );
  for (const { name, role } of Object.values(hosts))
    if (role === 'admin')
      lines.set(name, passages(stones.map((stone) => [stone, `UNIX-CONNECT:${stoneSocket(stone)}`])));
  return lines;
}

/** Puts what comes on standard input in place of an organisation's lines in a host's list of keys. */
export const replaceWaysScript = (organisation: string): string =>
  'umask 077 && mkdir -p /root/.ssh && cd /root/.ssh && touch authorized_keys && ' +
  `{ awk -v mark=${shellQuote(wayMark(organisation))} '$NF != mark' authorized_keys; cat; } > authorized_keys.part && ` +
  'mv -f authorized_keys.part authorized_keys';
