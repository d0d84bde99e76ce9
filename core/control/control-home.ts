import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { MoveError } from '../runtime/errors.ts';

/** Linux keeps 108 bytes for the address of a unix socket, the last one for its end (unix(7)). */
const longestSocketPath = 107;

/**
 * The state directory of the control plane: `MOVE_HOME`, else `$XDG_STATE_HOME/move-console`, else
 * `~/.local/state/move-console`. Nothing is created.
 */
export function controlHome(environment: NodeJS.ProcessEnv): string {
  if (environment.MOVE_HOME) return path.resolve(environment.MOVE_HOME);
  const state = environment.XDG_STATE_HOME || path.join(environment.HOME || os.homedir(), '.local', 'state');
  return path.join(path.resolve(state), 'move-console');
}

/**
 * Makes the state directory where it is absent and closes it to everybody else (mode 0700).
 * @throws MoveError `HOME_UNUSABLE` when it is not a directory of this user.
 */
export function prepareHome(home: string): void {
  try {
    fs.mkdirSync(home, { recursive: true, mode: 0o700 });
    const found = fs.lstatSync(home);
    if (!found.isDirectory()) throw new Error('it is not a directory');
    if (process.getuid !== undefined && found.uid !== process.getuid())
      throw new Error('it belongs to another user');
    if ((found.mode & 0o077) !== 0) fs.chmodSync(home, 0o700);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new MoveError(
      'HOME_UNUSABLE',
      `The state directory ${home} cannot be used: ${reason}. Choose another one with --home or MOVE_HOME.`,
      { home },
      cause,
    );
  }
}

/**
 * Where the control plane of a home listens.
 * @throws MoveError `HOME_PATH_TOO_LONG` when the path does not fit into a unix socket's address.
 */
export function controlSocketPath(home: string): string {
  const socketPath = path.join(home, 'control.sock');
  if (Buffer.byteLength(socketPath) > longestSocketPath)
    throw new MoveError(
      'HOME_PATH_TOO_LONG',
      `The path ${socketPath} is longer than the ${longestSocketPath} bytes that a unix socket may have. Choose a shorter --home.`,
      { home },
    );
  return socketPath;
}
