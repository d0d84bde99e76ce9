import fs from 'node:fs';
import { MoveError } from '../runtime/errors.ts';
import type { CommandContext } from './command-context.ts';
import type { ParsedArguments } from './parsed-arguments.ts';

/** Bytes of the longest password file that is read. */
const longestPasswordFile = 4096;

/**
 * A password, from `--password-file`, `MOVE_PASSWORD` or the terminal, in this order; null where none of
 * them gives one. It is never taken from the command line, which everybody on the machine can read.
 * @throws MoveError `PASSWORD_FILE_UNREADABLE`.
 */
export async function readPassword(
  context: CommandContext,
  parsed: ParsedArguments,
  question: string,
): Promise<string | null> {
  const file = parsed.text('password-file');
  if (file !== undefined) return passwordFrom(file);
  if (context.environment.MOVE_PASSWORD) return context.environment.MOVE_PASSWORD;
  return context.askSecret(question);
}

function passwordFrom(file: string): string {
  try {
    if (fs.statSync(file).size > longestPasswordFile)
      throw new Error(`it is longer than ${longestPasswordFile} bytes`);
    const [line = ''] = fs.readFileSync(file, 'utf8').split(/\r?\n/, 1);
    if (line === '') throw new Error('its first line is empty');
    return line;
  } catch (cause) {
    throw new MoveError(
      'PASSWORD_FILE_UNREADABLE',
      `The password file ${file} cannot be used: ${(cause as Error).message}. Its first line is the password.`,
      { file },
      cause,
    );
  }
}

export const passwordFileOption = {
  'password-file': {
    type: 'text',
    value: 'FILE',
    docs: 'A file whose first line is the password. Else MOVE_PASSWORD, else it is asked for.',
  },
} as const;
