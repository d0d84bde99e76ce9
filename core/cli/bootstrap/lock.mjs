import fs from 'node:fs';

/**
 * Runs `body` while holding the lock file `file`, which names its holder's process. A lock whose holder is
 * dead is taken over; a living holder is waited for, at most 20 minutes.
 * @template T
 * @param {string} file
 * @param {() => Promise<T>} body
 * @returns {Promise<T>}
 */
export async function withLock(file, body) {
  const deadline = Date.now() + 20 * 60_000;
  while (!tryTake(file)) {
    if (Date.now() > deadline)
      throw new Error(`${file} has been held for 20 minutes; remove it if nothing runs`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  try {
    return await body();
  } finally {
    fs.rmSync(file, { force: true });
  }
}

function tryTake(/** @type {string} */ file) {
  // linked into place with its content, so that nobody ever reads an empty lock
  const own = `${file}.${process.pid}`;
  fs.writeFileSync(own, String(process.pid));
  try {
    fs.linkSync(own, file);
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
    if (holderIsDead(file)) fs.rmSync(file, { force: true });
    return false;
  } finally {
    fs.rmSync(own, { force: true });
  }
}

function holderIsDead(/** @type {string} */ file) {
  try {
    process.kill(Number(fs.readFileSync(file, 'utf8')), 0);
    return false;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'ESRCH';
  }
}
