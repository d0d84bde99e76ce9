import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { cacheDirectory } from '../lab/paths.ts';
import { MoveError } from '../runtime/errors.ts';
import type { CommandContext } from './command-context.ts';
import { productRoot } from './product-root.ts';

const limitMs = 16 * 60_000;
const unknownImage = 3;

/**
 * Makes sure that a base image of the pods is in the cache, from which the lab's hosts have it: one that set-up
 * knows is built where it is missing or stale, and says so on standard error; any other has to be there.
 * @throws MoveError `IMAGE_UNKNOWN`, `IMAGE_FAILED`, `CANCELLED`.
 */
export async function ensurePodImage(context: CommandContext, name: string): Promise<void> {
  const program = path.join(productRoot(), 'core/cli/bootstrap/image.mjs');
  const code = await new Promise<number | null>((resolve, reject) => {
    const child = spawn(process.execPath, [program, name], {
      env: context.environment,
      stdio: ['inherit', 2, 2],
    });
    const end = () => child.kill('SIGTERM');
    const timer = setTimeout(end, limitMs);
    context.signal.addEventListener('abort', end, { once: true });
    const settle = (act: () => void) => {
      clearTimeout(timer);
      context.signal.removeEventListener('abort', end);
      act();
    };
    child.once('error', (error) => settle(() => reject(error)));
    child.once('exit', (status) => settle(() => resolve(status)));
  });
  if (context.signal.aborted) throw new MoveError('CANCELLED', 'The command was cancelled.');
  if (code === 0) return;
  const place = path.join(cacheDirectory(context.environment), 'images', name);
  if (code !== unknownImage)
    throw new MoveError(
      'IMAGE_FAILED',
      `The image ${name} could not be built; why stands above. "move doctor" says what is missing.`,
      { image: name },
    );
  if (!existsSync(path.join(place, 'bin')))
    throw new MoveError(
      'IMAGE_UNKNOWN',
      `Nobody knows how to build the image ${name}, and ${place} is not there. Put a root file system there.`,
      { image: name, path: place },
    );
}
