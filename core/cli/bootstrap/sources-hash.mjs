import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { distDirectory, projectRoot } from './paths.mjs';

/** What the bundles depend on. */
const roots = ['core', 'renderer', 'electron', 'package-lock.json', 'tsconfig.json'];

/** Where a finished build writes the hash that it was made from. */
export const buildHashFile = path.join(distDirectory, '.sources.sha256');

/** A hash over the names and contents of everything that the bundles are made from. */
export function sourcesHash() {
  const hash = createHash('sha256');
  for (const root of roots) visit(path.join(projectRoot, root), hash);
  return hash.digest('hex');
}

function visit(/** @type {string} */ file, /** @type {import('node:crypto').Hash} */ hash) {
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  if (!stat) return;
  if (stat.isDirectory()) {
    for (const name of fs.readdirSync(file).sort()) {
      if (name !== 'node_modules' && name !== 'dist') visit(path.join(file, name), hash);
    }
    return;
  }
  hash.update(`${path.relative(projectRoot, file)}\0${stat.size}\0`).update(fs.readFileSync(file));
}

/** Null when the bundles are from the present sources, else a sentence that says why not. */
export function bundlesMissing() {
  try {
    return fs.readFileSync(buildHashFile, 'utf8') === sourcesHash() ? null : 'the sources have changed';
  } catch {
    return 'the bundles have not been built';
  }
}
