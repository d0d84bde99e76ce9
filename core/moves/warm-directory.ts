import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

const filesAtMost = 256;
const fileBytesAtMost = 65_536;
const totalBytesAtMost = 1 << 20;
const atOnce = 16;

/**
 * Reads the names and the small files of a directory that is far away once, so that the kernel has them,
 * and the relay below sshfs their attributes, when the first people come: after a move, their requests would else wait for several round trips.
 * Best effort within bounds (256 files, 64 KiB each, 1 MiB in all) and until `signal` fires; it fails never.
 */
export async function warmDirectory(directory: string, signal: AbortSignal): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true, recursive: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile()).slice(0, filesAtMost);
  let left = totalBytesAtMost;
  const worker = async () => {
    for (let entry = files.shift(); entry && !signal.aborted; entry = files.shift()) {
      const path = join(entry.parentPath, entry.name);
      const { size } = await stat(path);
      if (size > fileBytesAtMost || size > left) continue;
      left -= size;
      await readFile(path, { signal });
    }
  };
  // What could not be read ahead is read when somebody asks for it; its errors are told then.
  await Promise.allSettled(Array.from({ length: atOnce }, worker));
}
