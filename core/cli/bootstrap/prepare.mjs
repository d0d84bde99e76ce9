import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { criuMissing } from './criu-install.mjs';
import { debianPackages, missingDebianPackages } from './debian-packages.mjs';
import { withLock } from './lock.mjs';
import { nativeMissing } from './native.mjs';
import { installNpmPackages, npmPackagesMissing } from './npm-packages.mjs';
import { cacheDirectory, distDirectory, node24Binary, projectRoot } from './paths.mjs';
import { imagesMissing } from './pod-image.mjs';
import { runLoud } from './run.mjs';
import { bundlesMissing } from './sources-hash.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));

/** @typedef {import('./debian-packages.mjs').PackageGroup} PackageGroup */

/**
 * Makes a fresh Debian 12 with Node 20 ready for the product: npm packages, Debian packages, criu, native
 * helpers, pod images and bundles, each only where missing or stale. Everything it says goes to stderr.
 * Without root or consent it goes on with what there is; what is degraded is returned, and written to
 * dist/setup.json.
 * @param {{yes?: boolean, purpose: string, besides?: PackageGroup[], log?: (line: string) => void}} options `yes` installs
 *   without asking (also MOVE_YES=1 or CI=true); `purpose` ends the sentence "is needed to ..."; `besides`
 *   names groups of Debian packages that are wanted besides the product's own.
 * @returns {Promise<{node: string, degraded: {id: string, finding: string}[]}>} the Node 24 binary, and
 *   what could not be made.
 * @throws Error when the npm packages or the bundles cannot be made: nothing can run then.
 */
export async function prepare({ yes = false, purpose, besides = [], log = defaultLog }) {
  const npmReason = npmPackagesMissing();
  if (npmReason) {
    log(`${npmReason}: running npm ci`);
    await installNpmPackages();
  }
  const degraded = await prepareSystem({ yes: yes || isYes(), purpose, besides, log });
  const node = node24Binary();
  if (!node) throw new Error('Node 24 did not come with the npm packages: remove node_modules and try again');
  await prepareBundles(node, log);
  recordDegraded(degraded);
  return { node, degraded };
}

function defaultLog(/** @type {string} */ line) {
  process.stderr.write(`move: ${line}\n`);
}

function isYes() {
  return process.env.MOVE_YES === '1' || process.env.CI === 'true' || process.env.CI === '1';
}

async function prepareBundles(/** @type {string} */ node, /** @type {(line: string) => void} */ log) {
  if (bundlesMissing() === null) return;
  fs.mkdirSync(distDirectory, { recursive: true });
  await withLock(path.join(distDirectory, '.lock'), async () => {
    const reason = bundlesMissing();
    if (reason === null) return;
    log(`${reason}: building`);
    const status = await runLoud(node, [path.join(here, 'build.mjs')], {
      cwd: projectRoot,
      timeoutMs: 300_000,
    });
    if (status !== 0) throw new Error('the build failed; its messages stand above');
  });
}

/** What root has to make, each with the question that finds out whether it is there. */
function missingSystemSteps(/** @type {PackageGroup[]} */ besides) {
  return [
    { id: 'packages', finding: missingNames('packages') },
    ...besides.map((group) => ({ id: group, finding: missingNames(group) })),
    { id: 'criu', finding: criuMissing() },
    { id: 'native', finding: nativeMissing() },
    { id: 'images', finding: imagesMissing() },
  ].flatMap(({ id, finding }) => (finding === null ? [] : [{ id, finding }]));
}

function missingNames(/** @type {PackageGroup} */ group) {
  const missing = missingDebianPackages(group);
  return missing.length > 0 ? `Debian packages: ${missing.map(({ name }) => name).join(' ')}` : null;
}

async function prepareSystem(
  /** @type {{yes: boolean, purpose: string, besides: PackageGroup[], log: (line: string) => void}} */ {
    yes,
    purpose,
    besides,
    log,
  },
) {
  const missing = missingSystemSteps(besides);
  if (missing.length === 0) return [];
  const root = process.getuid?.() === 0;
  if (missing.some(({ id }) => id !== 'native')) {
    explain(missing, purpose, log);
    if (!yes && !(await consent(log))) {
      log('going on without; "npm run -s move -- doctor" says what does not work');
      return missing;
    }
  }
  const command = [process.execPath, path.join(here, 'system.mjs'), ...missing.map(({ id }) => id)];
  const privileged = root ? [] : sudoPrefix(yes);
  if (privileged === null) {
    log('this needs root, and there is no sudo here: going on without');
    return missing;
  }
  const [program, ...rest] = [...privileged, ...command];
  const status = await runLoud(program ?? '', rest, { timeoutMs: 45 * 60_000, inheritStdin: true });
  if (status !== 0) log('not everything could be set up; "npm run -s move -- doctor" says what is left');
  return missingSystemSteps(besides);
}

/**
 * The words before a command that shall run as root; null where there is no sudo. `yes` never asks for a password
 * where nobody sits at a terminal.
 */
export function sudoPrefix(/** @type {boolean} */ yes) {
  const found = (process.env.PATH ?? '')
    .split(':')
    .some((directory) => fs.existsSync(path.join(directory, 'sudo')));
  if (!found) return null;
  return ['sudo', ...(yes && !process.stdin.isTTY ? ['-n'] : []), 'env', `MOVE_CACHE=${cacheDirectory}`];
}

function explain(
  /** @type {{id: string, finding: string}[]} */ missing,
  /** @type {string} */ purpose,
  /** @type {(line: string) => void} */ log,
) {
  log(`to ${purpose}, some things have to be installed first:`);
  for (const { id, finding } of missing) {
    if (Object.hasOwn(debianPackages, id))
      for (const { name, why } of missingDebianPackages(/** @type {PackageGroup} */ (id)))
        log(`  ${name}: ${why}`);
    if (id === 'criu') log(`  criu: freezes a service and carries it to another host (${finding})`);
    if (id === 'images') log(`  pod images: the file system of the sample service (${finding})`);
    if (id === 'native') log(`  native helpers: ${finding}`);
  }
  log(`criu, helpers and images go to ${cacheDirectory}; nothing else of the system is touched`);
}

async function consent(/** @type {(line: string) => void} */ log) {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    log('nobody is there to be asked: say --yes, or MOVE_YES=1, to install');
    return false;
  }
  const lines = readline.createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await new Promise((resolve) => {
      lines.question('move: install them now? [y/N] ', resolve);
      lines.on('close', () => resolve(''));
    });
    return /^y(es)?$/i.test(String(answer).trim());
  } finally {
    lines.close();
  }
}

function recordDegraded(/** @type {{id: string, finding: string}[]} */ degraded) {
  const file = path.join(distDirectory, 'setup.json');
  const text = `${JSON.stringify({ degraded }, null, 2)}\n`;
  if (fs.existsSync(file) && fs.readFileSync(file, 'utf8') === text) return;
  fs.mkdirSync(distDirectory, { recursive: true });
  fs.writeFileSync(file, text);
}
