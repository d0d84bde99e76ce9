import { mkdirSync, readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import { type FleetManifest, labManifestSchema } from '../lab/manifest.ts';
import { MoveError } from '../runtime/errors.ts';
import { fleetKeyPath, readShare, shareDirectory } from './shared-overlay.ts';

/** How often to look for a manifest where the file system does not tell, in milliseconds. */
const lookAgainMs = 500;

/**
 * The hosts of a home, as soon as they are known: those of the lab in it, or for an organisation the part of an overlay
 * that its operator shares with it.
 * @throws MoveError `MANIFEST_INVALID`, `SHARE_INVALID`, `CANCELLED` when the signal fires first.
 */
export function waitForFleet(
  home: string,
  isOrganisation: boolean,
  signal: AbortSignal,
): Promise<FleetManifest> {
  if (!isOrganisation) return waitFor(join(home, 'lab'), () => readManifest(home), signal);
  const read = (): FleetManifest | null => {
    const share = readShare(home);
    return share && { ...share, sshKeyPath: fleetKeyPath(home) };
  };
  return waitFor(shareDirectory(home), read, signal);
}

function readManifest(home: string): FleetManifest | null {
  try {
    return labManifestSchema.parse(JSON.parse(readFileSync(join(home, 'lab', 'manifest.json'), 'utf8')));
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT' || thrown instanceof SyntaxError) return null;
    throw new MoveError(
      'MANIFEST_INVALID',
      'The manifest of the lab cannot be read. Take the lab down and up again.',
      {},
      thrown,
    );
  }
}

function waitFor(
  folder: string,
  read: () => FleetManifest | null,
  signal: AbortSignal,
): Promise<FleetManifest> {
  return new Promise((resolve, reject) => {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const look = () => {
      try {
        const manifest = read();
        if (manifest) finish(() => resolve(manifest));
      } catch (thrown) {
        finish(() => reject(thrown));
      }
    };
    // Where a file system tells nothing, looking does.
    const timer = setInterval(look, lookAgainMs);
    const watcher = watch(folder, look);
    const finish = (settle: () => void) => {
      clearInterval(timer);
      watcher.close();
      signal.removeEventListener('abort', onAbort);
      settle();
    };
    const onAbort = () => finish(() => reject(new MoveError('CANCELLED', 'The control plane was stopped.')));
    signal.addEventListener('abort', onAbort, { once: true });
    look();
  });
}
