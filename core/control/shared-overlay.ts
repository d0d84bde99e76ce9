import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeFleetKey } from '../fleet/fleet-key.ts';
import { fleetManifestSchema } from '../lab/manifest.ts';
import { replaceDurably } from '../runtime/durable-file.ts';
import { MoveError } from '../runtime/errors.ts';
import type { Share } from './handovers.ts';

/** What an organisation's home holds of the overlay that it shares: the operator's file, and its own key for SSH. */
export const shareDirectory = (home: string): string => join(home, 'share');
/** The private key by which an organisation's control plane reaches its sites. */
export const fleetKeyPath = (home: string): string => join(shareDirectory(home), 'ssh-key');
const publicKeyPath = (home: string) => join(shareDirectory(home), 'ssh-key.pub');
const sharePath = (home: string) => join(shareDirectory(home), 'overlay.json');

const shareSchema = fleetManifestSchema.omit({ sshKeyPath: true });

/** Makes the key by which a home reaches its sites, and returns its public half; that of before where there is one. */
export async function fleetKeyOf(home: string): Promise<string> {
  const known = readIfThere(publicKeyPath(home));
  if (known !== null) return known;
  mkdirSync(shareDirectory(home), { recursive: true, mode: 0o700 });
  const { privateKey, publicKey } = makeFleetKey('move-console');
  // The public half last: without it there is no key yet.
  await replaceDurably([
    { path: fleetKeyPath(home), content: privateKey },
    { path: publicKeyPath(home), content: `${publicKey.trim()}\n` },
  ]);
  return readFileSync(publicKeyPath(home), 'utf8');
}

/** Takes up what an operator shares. @throws MoveError `SHARE_INVALID`. */
export async function writeShare(home: string, text: string): Promise<Share> {
  const share = parseShare(text);
  mkdirSync(shareDirectory(home), { recursive: true, mode: 0o700 });
  await replaceDurably([{ path: sharePath(home), content: `${JSON.stringify(share, null, 2)}\n` }]);
  return share;
}

/** What an operator shares with this home, or null. @throws MoveError `SHARE_INVALID`. */
export function readShare(home: string): Share | null {
  const text = readIfThere(sharePath(home));
  return text === null ? null : parseShare(text);
}

function parseShare(text: string): Share {
  try {
    const share = shareSchema.parse(JSON.parse(text));
    if (share.isShare) return share;
  } catch (cause) {
    throw invalid(cause);
  }
  throw invalid();
}

function invalid(cause?: unknown): MoveError {
  return new MoveError(
    'SHARE_INVALID',
    'This is no description of a shared overlay. Take the file that the operator\'s "organisation admit" wrote.',
    {},
    cause,
  );
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw cause;
  }
}
