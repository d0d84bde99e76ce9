import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync, type Stats } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';

/** Where the lab writes what it made, on every host that it made. */
export const LAB_MANIFEST_PATH = '/etc/move/lab.json';

const MAXIMUM_BYTES = 1 << 20;

/**
 * What a flood has to know of the lab's manifest. Deliberately its own reading of it: a guard must not get
 * weaker because another room's schema changes.
 */
export const guardedManifestSchema = z.object({
  labId: z.string().min(1),
  hosts: z.record(
    z.string(),
    z.object({
      name: z.string(),
      role: z.string(),
      addresses: z.record(z.string(), z.union([z.string(), z.null()]).optional()),
      netnsInode: z.number().int().positive(),
    }),
  ),
});
export type GuardedManifest = z.infer<typeof guardedManifestSchema>;

/** Either the text of a manifest that only root can have written, or why it is not to be trusted. */
export type ManifestText = { text: string } | { fault: string };

/**
 * Reads the manifest if nobody but root can have put it there: the file and every directory above it belong to
 * root, are no symbolic links, and only root may write to them or replace what is in them. Never throws.
 */
export function readManifestFile(path: string = LAB_MANIFEST_PATH): ManifestText {
  let file: number | undefined;
  try {
    for (let directory = dirname(resolve(path)); ; directory = dirname(directory)) {
      const fault = ownershipFault(lstatSync(directory), 'directory');
      if (fault !== undefined) return { fault: `${directory} ${fault}` };
      if (directory === '/') break;
    }
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stats = fstatSync(file);
    const fault = ownershipFault(stats, 'file');
    if (fault !== undefined) return { fault: `${path} ${fault}` };
    if (stats.size > MAXIMUM_BYTES) return { fault: `${path} is longer than a manifest can be` };
    return { text: readFileSync(file, 'utf8') };
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code;
    return {
      fault: code === 'ENOENT' ? `there is no ${path}` : `${path} cannot be read (${code ?? 'error'})`,
    };
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function ownershipFault(stats: Stats, kind: 'file' | 'directory'): string | undefined {
  if (kind === 'file' ? !stats.isFile() : !stats.isDirectory()) return `is no plain ${kind}`;
  if (stats.uid !== 0) return 'does not belong to root';
  // In a sticky directory nobody else can replace what belongs to root.
  const sticky = kind === 'directory' && (stats.mode & 0o1000) !== 0;
  if ((stats.mode & 0o022) !== 0 && !sticky) return 'can be written by others than root';
  return undefined;
}
