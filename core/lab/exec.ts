import { type StdioOptions, spawn } from 'node:child_process';
import { MoveError } from '../runtime/errors.ts';
import { type LabOptions, readLabManifest } from './lab.ts';

/** Quotes words for the shell that sshd starts, so that each arrives as it was given. */
export function shellWords(words: readonly string[]): string {
  return words
    .map((word) => (/^[A-Za-z0-9_/.,:=@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(' ');
}

/**
 * Runs a command on a lab host as root through SSH, the way the product itself reaches hosts, with the
 * caller's streams by default. Resolves with the command's exit code, 128 plus the signal's number where a
 * signal ended it, 255 where SSH failed.
 * @throws MoveError `LAB_NOT_RUNNING`, `HOST_UNKNOWN`, `PROGRAM_MISSING`.
 */
export async function labExec(
  host: string,
  argv: readonly string[],
  options: LabOptions & { stdio?: StdioOptions; signal?: AbortSignal } = {},
): Promise<number> {
  const manifest = await readLabManifest(options);
  if (!manifest.hosts[host]) {
    const hosts = Object.keys(manifest.hosts).join(', ');
    throw new MoveError('HOST_UNKNOWN', `The lab has no host ${host}. It has ${hosts}.`, { host });
  }
  return new Promise((resolve, reject) => {
    const child = spawn('ssh', ['-F', manifest.sshConfigPath, '-T', host, '--', shellWords(argv)], {
      stdio: options.stdio ?? 'inherit',
      ...(options.signal ? { signal: options.signal } : {}),
    });
    child.on('error', (cause) => {
      const cancelled = options.signal?.aborted === true;
      reject(
        cancelled
          ? new MoveError('CANCELLED', `The command on ${host} was cancelled.`, { host }, cause)
          : new MoveError(
              'PROGRAM_MISSING',
              'The program ssh could not be started.',
              { command: 'ssh' },
              cause,
            ),
      );
    });
    child.on('close', (code) => resolve(code ?? 255));
  });
}
