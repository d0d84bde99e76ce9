import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, posix } from 'node:path';
import type { ServiceFile } from '../contract/service-file.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { shellQuote } from '../fleet/host-connection.ts';
import { productFile } from '../lab/paths.ts';
import { layOutStorage } from '../lab/sample-storage.ts';
import { MoveError } from '../runtime/errors.ts';

const stepDeadlineMs = 5_000;

/**
 * Lays a sample's files out as the storage of a service, where its home has nothing at that place yet: aside and
 * renamed, so that what stands there is whole.
 * @throws MoveError `STORAGE_MISSING` when nothing is there and no sample is named, `ASSET_MISSING`, or of the host.
 */
export async function layOutSample(fleet: Pick<Fleet, 'connection'>, file: ServiceFile): Promise<void> {
  const { storage, homeSite } = file;
  if (!storage) return;
  const connection = await fleet.connection(homeSite);
  const place = shellQuote(storage.path);
  const found = await connection.run(`test -e ${place} && echo there || true`, {
    deadlineMs: stepDeadlineMs,
  });
  if (found.trim() === 'there') return;
  if (storage.sample === undefined)
    throw new MoveError(
      'STORAGE_MISSING',
      `${storage.path} is not on ${homeSite}. Put the storage of ${file.hostname} there first, or name a sample.`,
      { site: homeSite, path: storage.path },
    );
  const folder = await mkdtemp(join(tmpdir(), 'move-sample-'));
  try {
    await layOutStorage(productFile(`assets/samples/${storage.sample}`), folder);
    const aside = `${storage.path}.part`;
    await connection.run(`rm -rf ${shellQuote(aside)}`, { deadlineMs: stepDeadlineMs });
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const name = join(entry.parentPath, entry.name).slice(folder.length + 1);
      await connection.writeFile(posix.join(aside, name), await readFile(join(folder, name)), 0o644);
    }
    await connection.run(`chmod -R a+rX ${shellQuote(aside)} && mv ${shellQuote(aside)} ${place}`, {
      deadlineMs: stepDeadlineMs,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
