import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MoveError } from '../runtime/errors.ts';

/**
 * The passphrase that protects the authority and the services' keys: the file that
 * MOVE_PASSPHRASE_FILE names, else one that was made up for this home (0600). Never an argument and never a
 * variable's value, which `ps` and core dumps show.
 * @throws MoveError `PASSPHRASE_UNREADABLE`.
 */
export async function readPassphrase(home: string, environment: NodeJS.ProcessEnv): Promise<string> {
  const named = environment.MOVE_PASSPHRASE_FILE;
  const path = named ?? join(home, 'passphrase');
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (cause) {
    if (named || (cause as NodeJS.ErrnoException).code !== 'ENOENT')
      throw new MoveError(
        'PASSPHRASE_UNREADABLE',
        `The passphrase file ${path} cannot be read. Check its name and its owner.`,
        { path },
        cause,
      );
  }
  const passphrase = randomBytes(24).toString('base64url');
  await writeFile(path, `${passphrase}\n`, { mode: 0o600, flag: 'wx' });
  return passphrase;
}
