import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout that this file belongs to. */
export const projectRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');

/**
 * Where everything that set-up builds outside of the checkout lives: criu, the native helpers and the
 * pods' base images. `MOVE_CACHE` overrides it. It belongs to root, because hosts run what is in it.
 */
export const cacheDirectory = path.resolve(process.env.MOVE_CACHE || '/var/cache/move-console');

/** The bundles that every shell and agent runs. */
export const distDirectory = path.join(projectRoot, 'dist');

/**
 * The Node 24 that comes with the npm packages: the binary itself where it can be found, else the
 * launcher that npm links. Null before the packages are installed.
 * @returns {string | null}
 */
export function node24Binary() {
  const modules = path.join(projectRoot, 'node_modules');
  const platform = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`;
  const candidates = [
    path.join(modules, 'node', 'bin', 'node'),
    path.join(modules, platform, 'bin', 'node'),
    path.join(modules, 'node', 'node_modules', platform, 'bin', 'node'),
    path.join(modules, '.bin', 'node'),
  ];
  return candidates.find((candidate) => fs.existsSync(candidate)) ?? null;
}
