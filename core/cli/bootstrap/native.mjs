import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { cacheDirectory, projectRoot } from './paths.mjs';
import { mustRun } from './run.mjs';

const directory = path.join(cacheDirectory, 'native');

/** The native helpers: what each is compiled from and how. */
const helpers = [
  { name: 'delayd', source: 'core/lab/native/delayd.c', flags: ['-O2', '-Wall', '-static'], libraries: [] },
  {
    name: 'labkeeper',
    source: 'core/lab/native/labkeeper.c',
    flags: ['-O2', '-Wall', '-static'],
    libraries: [],
  },
  { name: 'gateway', source: 'core/pods/native/gateway', flags: ['-O2', '-static'], libraries: [] },
  {
    name: 'norlimit-shim.so',
    source: 'core/pods/native/norlimit-shim.c',
    flags: ['-O2', '-shared', '-fPIC'],
    libraries: ['-ldl'],
  },
];

const fingerprintFile = (/** @type {string} */ name) => path.join(directory, `${name}.sha256`);

/** The files of a helper that end like this: those in its folder, or beside its one source. */
function filesOf(/** @type {string} */ source, /** @type {string} */ ending) {
  const folder = fs.statSync(source).isDirectory() ? source : path.dirname(source);
  return fs
    .readdirSync(folder)
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => path.join(folder, name));
}

/** What is given to the compiler: the one source, or all of the folder. */
const unitsOf = (/** @type {string} */ source) =>
  fs.statSync(source).isDirectory() ? filesOf(source, '.c') : [source];

/** The helpers whose source is there and whose binary is absent or from another source. */
function stale() {
  return helpers.flatMap((helper) => {
    const source = path.join(projectRoot, helper.source);
    if (!fs.existsSync(source)) return [];
    const hash = createHash('sha256').update(JSON.stringify(helper.flags));
    for (const file of [...unitsOf(source), ...filesOf(source, '.h')]) hash.update(fs.readFileSync(file));
    const fingerprint = hash.digest('hex');
    try {
      const built = fs.readFileSync(fingerprintFile(helper.name), 'utf8') === fingerprint;
      if (built && fs.existsSync(path.join(directory, helper.name))) return [];
    } catch {
      // never built: fall through and build it
    }
    return [{ ...helper, source, fingerprint }];
  });
}

/** Null when every native helper is built from its present source, else which are not. */
export function nativeMissing() {
  const names = stale().map(({ name }) => name);
  return names.length === 0 ? null : `the native helpers ${names.join(', ')} must be compiled`;
}

/** Compiles what is stale, each aside and renamed, so that a running lab keeps the file it has open. */
export async function compileNative() {
  fs.mkdirSync(directory, { recursive: true, mode: 0o755 });
  for (const { name, source, flags, libraries, fingerprint } of stale()) {
    const target = path.join(directory, name);
    const aside = `${target}.new-${process.pid}`;
    await mustRun('gcc', [...flags, '-o', aside, ...unitsOf(source), ...libraries], {
      timeoutMs: 60_000,
      quiet: true,
    });
    fs.chmodSync(aside, 0o755);
    fs.renameSync(aside, target);
    fs.writeFileSync(fingerprintFile(name), fingerprint);
  }
}
