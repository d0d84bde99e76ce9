import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { debianArchives, debianCodename, sourceLine } from './apt-sources.mjs';
import { cacheDirectory, node24Binary, projectRoot } from './paths.mjs';
import { mustRun } from './run.mjs';

const images = path.join(cacheDirectory, 'images');

/**
 * What the pods' base images hold besides Debian's essential packages, which of them set-up builds, and what
 * is added to what dpkg installed: files of the product, and programs of its own.
 * @type {Record<string, {packages: string[], atSetUp: boolean, emptied?: string[], files?: string, node?: boolean,
 *   certificate?: string}>}
 */
const contents = {
  // the document root is a mount point: what stands there comes from the site's storage
  apache: { packages: ['apache2'], atSetUp: true, emptied: ['var/www/html'] },
  servers: {
    packages: ['nginx-light', 'redis-server', 'python3-minimal', 'libpython3-stdlib', 'libstdc++6'],
    atSetUp: false,
    emptied: ['var/www/html'],
    files: 'assets/images/servers',
    node: true,
    certificate: 'etc/nginx/own',
  },
  // programs that need no bus and watch no files, so that all of them can be carried
  desktop: {
    packages: [
      ...['tigervnc-standalone-server', 'icewm', 'xterm', 'xfonts-base', 'fonts-dejavu-core'],
      ...['dillo', 'xpdf', 'gsfonts', 'nedit', 'irssi', 'ngircd', 'ii'],
    ],
    atSetUp: false,
    files: 'assets/images/desktop',
  },
};

/** Every base image that can be built here. */
export const imageNames = Object.keys(contents);

/** Beside each image: what it was built from, so that a change of the list above builds it anew. */
const recipeFile = (/** @type {string} */ name) => path.join(images, `.${name}.recipe`);

function recipe(/** @type {string} */ name) {
  const { packages, files, node } = contents[name] ?? { packages: [] };
  const parts = [JSON.stringify(packages)];
  if (files !== undefined) parts.push(digestOf(path.join(projectRoot, files)));
  if (node) parts.push(nodeVersion());
  return parts.join('\n');
}

/** The version of the Node that goes into an image, without starting it. */
function nodeVersion() {
  const file = path.join(projectRoot, 'node_modules/node/package.json');
  return fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')).version : 'none';
}

/** One value over the names and contents of all files below a directory. */
function digestOf(/** @type {string} */ directory) {
  const hash = createHash('sha256');
  const names = fs.readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort();
  for (const name of names) {
    const file = path.join(directory, name);
    if (fs.statSync(file).isFile()) hash.update(`${name}\0`).update(fs.readFileSync(file)).update('\0');
  }
  return hash.digest('hex');
}

function isCurrent(/** @type {string} */ name) {
  if (!fs.existsSync(path.join(images, name)) || !fs.existsSync(recipeFile(name))) return false;
  return fs.readFileSync(recipeFile(name), 'utf8') === recipe(name);
}

/** Null when the image is in place and up to date, else a sentence that says so. */
export function imageMissing(/** @type {string} */ name) {
  return isCurrent(name) ? null : `the pod base image ${name} is not in ${images}`;
}

/** Null when every base image that set-up builds is in place, else a sentence that says which one is missing. */
export function imagesMissing() {
  const missing = imageNames.filter((name) => contents[name]?.atSetUp && !isCurrent(name));
  return missing.length === 0 ? null : `the pod base image ${missing.join(', ')} is not in ${images}`;
}

/** Builds each missing base image that set-up builds. */
export async function buildImages(/** @type {(line: string) => void} */ log) {
  for (const name of imageNames) if (contents[name]?.atSetUp) await buildImage(name, log);
}

/**
 * Builds a base image where it is missing: a small Debian root file system with the unmodified services, installed
 * by dpkg with its maintainer scripts run, from the archives that this machine installs from. Built aside
 * and renamed, so that an image that exists is complete.
 */
export async function buildImage(/** @type {string} */ name, /** @type {(line: string) => void} */ log) {
  const content = contents[name];
  if (!content)
    throw new Error(`nobody knows how to build the image ${name}; known are ${imageNames.join(', ')}`);
  if (isCurrent(name)) return;
  const codename = debianCodename();
  const sources = debianArchives()
    .filter((archive) => archive.codename.split('-')[0] === codename && archive.component === 'main')
    .map(({ uri, suite, component }) => sourceLine(uri, suite, component));
  fs.mkdirSync(images, { recursive: true });
  const target = path.join(images, name);
  const aside = `${target}.new-${process.pid}`;
  const began = Date.now();
  try {
    log(`building the pod base image ${name} (about half a minute)`);
    await mustRun(
      'mmdebstrap',
      [
        '--mode=root',
        '--variant=essential',
        `--include=${content.packages.join(',')}`,
        '--dpkgopt=force-unsafe-io',
        ...['doc', 'locale', 'man'].map((part) => `--dpkgopt=path-exclude=/usr/share/${part}/*`),
        codename,
        aside,
        '-',
      ],
      { timeoutMs: 600_000, input: `${sources.join('\n')}\n`, quiet: true },
    );
    for (const directory of content.emptied ?? []) {
      fs.rmSync(path.join(aside, directory), { recursive: true, force: true });
      fs.mkdirSync(path.join(aside, directory), { recursive: true, mode: 0o755 });
    }
    if (content.files !== undefined)
      fs.cpSync(path.join(projectRoot, content.files), aside, { recursive: true });
    if (content.node) addNode(aside);
    if (content.certificate !== undefined) await addCertificate(path.join(aside, content.certificate));
    fs.chmodSync(aside, 0o755);
    fs.rmSync(target, { recursive: true, force: true });
    fs.renameSync(aside, target);
    fs.writeFileSync(recipeFile(name), recipe(name));
    log(`the pod base image ${name} is in ${target} after ${Math.round((Date.now() - began) / 1000)} s`);
  } finally {
    fs.rmSync(aside, { recursive: true, force: true });
  }
}

/** The product's own Node 24, and its WebSocket library where `require` finds it. */
function addNode(/** @type {string} */ root) {
  const node = node24Binary();
  if (!node) throw new Error('Node 24 did not come with the npm packages: run npm ci');
  fs.mkdirSync(path.join(root, 'usr/local/bin'), { recursive: true });
  fs.copyFileSync(fs.realpathSync(node), path.join(root, 'usr/local/bin/node'));
  fs.chmodSync(path.join(root, 'usr/local/bin/node'), 0o755);
  fs.cpSync(path.join(projectRoot, 'node_modules/ws'), path.join(root, 'usr/local/lib/node_modules/ws'), {
    recursive: true,
    dereference: true,
  });
}

/** A key and a certificate that nobody but itself has signed: a service of the overlay has no public name. */
async function addCertificate(/** @type {string} */ directory) {
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
  const key = path.join(directory, 'key.pem');
  await mustRun(
    'openssl',
    [
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '3650'],
      ...['-subj', '/CN=sample service', '-keyout', key, '-out', path.join(directory, 'certificate.pem')],
    ],
    { timeoutMs: 20_000, quiet: true },
  );
  fs.chmodSync(key, 0o600);
}
