import fs from 'node:fs';
import path from 'node:path';
import { projectRoot } from './paths.mjs';
import { mustRun } from './run.mjs';

/** Null when node_modules holds what package-lock.json asks for, else a sentence that says why not. */
export function npmPackagesMissing() {
  let installed;
  try {
    installed = readPackages('node_modules/.package-lock.json');
  } catch {
    return 'the npm packages are not installed';
  }
  for (const [name, wanted] of Object.entries(readPackages('package-lock.json'))) {
    if (name === '' || wanted.optional || wanted.devOptional) continue;
    const found = installed[name];
    if (found?.version !== wanted.version) return `the npm package ${name} is missing or of another version`;
  }
  return null;
}

/** @returns {Record<string, {version?: string, optional?: boolean, devOptional?: boolean}>} */
function readPackages(/** @type {string} */ file) {
  return JSON.parse(fs.readFileSync(path.join(projectRoot, file), 'utf8')).packages;
}

/** Installs exactly what the lock file says. */
export async function installNpmPackages() {
  const npm = process.env.npm_execpath;
  const [command, first] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  await mustRun(command, [...first, 'ci', '--no-audit', '--no-fund'], {
    cwd: projectRoot,
    timeoutMs: 900_000,
  });
}
