import fs from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { MoveError } from '../runtime/errors.ts';
import { controlSocketPath, prepareHome } from './control-home.ts';

/** Held by the one control plane of a state directory. */
export interface HomeLock {
  readonly home: string;
  release(): void;
}

/** Milliseconds that taking the lock waits for somebody who only looks whether it is held. */
const lookDeadlineMs = 250;

const holderPath = (home: string) => path.join(home, 'control.pid');

/**
 * Takes the lock of a state directory, so that a second control plane is refused. The lock is an open
 * exclusive transaction on an empty database: the kernel ends it with the process, `kill -9` included,
 * and no stale file can hold it.
 * @throws MoveError `CONTROL_RUNNING` while another control plane holds it.
 */
export function lockHome(home: string): HomeLock {
  prepareHome(home);
  const socket = controlSocketPath(home);
  const database = new DatabaseSync(path.join(home, 'control.lock'), { timeout: lookDeadlineMs });
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    if (!isBusy(cause)) throw cause;
    throw new MoveError(
      'CONTROL_RUNNING',
      `A control plane already runs in ${home}. Attach to it, stop it with "move serve --stop", or choose another --home.`,
      { home, socket },
      cause,
    );
  }
  fs.writeFileSync(holderPath(home), `${process.pid}\n`, { mode: 0o600 });
  let held = true;
  return {
    home,
    release() {
      if (!held) return;
      held = false;
      fs.rmSync(holderPath(home), { force: true });
      database.close();
    },
  };
}

/**
 * The process that holds the lock of a home, or null where no control plane runs.
 * @throws MoveError `CONTROL_STARTING` when the holder has not written its number yet.
 */
export function homeLockHolder(home: string): number | null {
  if (!fs.existsSync(path.join(home, 'control.lock'))) return null;
  const database = new DatabaseSync(path.join(home, 'control.lock'), { timeout: 0 });
  try {
    // A look takes a shared lock: lookers never see each other, only an exclusive holder.
    database.prepare('SELECT count(*) FROM sqlite_schema').get();
    return null;
  } catch (cause) {
    if (!isBusy(cause)) throw cause;
    return readHolder(home);
  } finally {
    database.close();
  }
}

function readHolder(home: string): number {
  const text = fs.existsSync(holderPath(home)) ? fs.readFileSync(holderPath(home), 'utf8') : '';
  const holder = Number.parseInt(text, 10);
  if (!(holder > 0))
    throw new MoveError('CONTROL_STARTING', 'The control plane is just starting. Try again in a moment.', {
      home,
    });
  return holder;
}

/** SQLITE_BUSY is 5; extended codes keep it in their low byte. */
function isBusy(cause: unknown): boolean {
  const code = (cause as { errcode?: unknown } | null)?.errcode;
  return typeof code === 'number' && (code & 0xff) === 5;
}
