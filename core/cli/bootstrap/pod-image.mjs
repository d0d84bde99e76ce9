import fs from 'node:fs';
import path from 'node:path';
import { debianArchives, debianCodename, sourceLine } from './apt-sources.mjs';
import { cacheDirectory } from './paths.mjs';
import { mustRun } from './run.mjs';

const images = path.join(cacheDirectory, 'images');

/** What the pods' base images hold besides Debian's essential packages. */
const contents = { apache: ['apache2'] };

/** Beside each image: what it was built from, so that a change of the list above builds it anew. */
const recipeFile = (/** @type {string} */ name) => path.join(images, `.${name}.recipe`);
const recipe = (/** @type {string} */ name) => JSON.stringify(contents[name]);

function isCurrent(/** @type {string} */ name) {
  if (!fs.existsSync(path.join(images, name)) || !fs.existsSync(recipeFile(name))) return false;
  return fs.readFileSync(recipeFile(name), 'utf8') === recipe(name);
}

/** Null when every base image is in place, else a sentence that says which one is missing. */
export function imagesMissing() {
  const missing = Object.keys(contents).filter((name) => !isCurrent(name));
  return missing.length === 0 ? null : `the pod base image ${missing.join(', ')} is not in ${images}`;
}

/**
 * Builds each missing base image: a small Debian root file system with the unmodified service, installed
 * by dpkg with its maintainer scripts run, from the archives that this machine installs from. Built aside
 * and renamed, so that an image that exists is complete.
 */
export async function buildImages(/** @type {(line: string) => void} */ log) {
  const codename = debianCodename();
  const sources = debianArchives()
    .filter((archive) => archive.codename.split('-')[0] === codename && archive.component === 'main')
    .map(({ uri, suite, component }) => sourceLine(uri, suite, component));
  fs.mkdirSync(images, { recursive: true });
  for (const [name, packages] of Object.entries(contents)) {
    const target = path.join(images, name);
    if (isCurrent(name)) continue;
    const aside = `${target}.new-${process.pid}`;
    try {
      log(`building the pod base image ${name} (about half a minute)`);
      await mustRun(
        'mmdebstrap',
        [
          '--mode=root',
          '--variant=essential',
          `--include=${packages.join(',')}`,
          '--dpkgopt=force-unsafe-io',
          ...['doc', 'locale', 'man'].map((part) => `--dpkgopt=path-exclude=/usr/share/${part}/*`),
          codename,
          aside,
          '-',
        ],
        { timeoutMs: 600_000, input: `${sources.join('\n')}\n`, quiet: true },
      );
      // the document root is a mount point: what stands there comes from the site's storage
      fs.rmSync(path.join(aside, 'var/www/html'), { recursive: true, force: true });
      fs.mkdirSync(path.join(aside, 'var/www/html'), { recursive: true, mode: 0o755 });
      fs.chmodSync(aside, 0o755);
      fs.rmSync(target, { recursive: true, force: true });
      fs.renameSync(aside, target);
      fs.writeFileSync(recipeFile(name), recipe(name));
      log(`the pod base image ${name} is in ${target}`);
    } finally {
      fs.rmSync(aside, { recursive: true, force: true });
    }
  }
}
