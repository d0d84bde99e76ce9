import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { debianArchives, debianCodename, sourceLine } from './apt-sources.mjs';
import { cacheDirectory } from './paths.mjs';
import { mustRun, runLoud } from './run.mjs';

const directory = path.join(cacheDirectory, 'criu');
const versionFile = path.join(directory, 'VERSION');
const wrapperFile = path.join(directory, 'bin/criu');

/** Kernels from 6.16 on need it: older ones fail on any socket although `criu check` is content. */
const oldestVersion = [4, 2, 1];

/** Whether `text` (for example `4.2.1`) is new enough. */
export function isNewEnough(/** @type {string} */ text) {
  const parts = text.trim().split('.').map(Number);
  for (const [index, wanted] of oldestVersion.entries()) {
    const part = parts[index] ?? 0;
    if (Number.isNaN(part)) return false;
    if (part !== wanted) return part > wanted;
  }
  return true;
}

/** Null when the private criu is in place, else a sentence that says what is missing. */
export function criuMissing() {
  try {
    if (isNewEnough(fs.readFileSync(versionFile, 'utf8'))) {
      return fs.readFileSync(wrapperFile, 'utf8') === wrapper ? null : `${wrapperFile} is of another version`;
    }
    return `the criu in ${directory} is older than ${oldestVersion.join('.')}`;
  } catch {
    return `criu ${oldestVersion.join('.')} or newer is not in ${directory}`;
  }
}

/**
 * The wrapper that runs the extracted criu with the C library that came with it. NORLIMIT_SHIM names the
 * preloaded helper for machines without CAP_SYS_RESOURCE.
 */
const wrapper = `#!/bin/sh
# criu from its private extraction, with its own C library; nothing of the system is touched.
self=$(readlink -f "$0")
here="\${self%/bin/*}"
for loader in "$here"/usr/lib/*/ld-linux*.so.*; do break; done
exec "$loader" --library-path "\${loader%/*}" \${NORLIMIT_SHIM:+--preload "$NORLIMIT_SHIM"} "$here/usr/sbin/criu" "$@"
`;

/**
 * Extracts criu and the libraries it needs from Debian's next suites into the cache, beside the system and
 * not into it. apt checks the suite's signature and every package's checksum.
 */
export async function installCriu(/** @type {(line: string) => void} */ log) {
  if (fs.existsSync(versionFile) && isNewEnough(fs.readFileSync(versionFile, 'utf8'))) {
    const aside = `${wrapperFile}.new-${process.pid}`;
    fs.writeFileSync(aside, wrapper, { mode: 0o755 });
    fs.renameSync(aside, wrapperFile);
    return;
  }
  const archive = debianArchives().find(
    ({ codename, suite }) => codename === debianCodename() && suite === codename,
  );
  if (!archive) throw new Error(`apt has no archive for ${debianCodename()} itself`);
  for (const suite of ['testing', 'forky', 'unstable']) {
    const work = fs.mkdtempSync(path.join(os.tmpdir(), 'move-criu-'));
    try {
      const version = await extractFrom(archive.uri, suite, work);
      if (version === null) continue;
      log(`criu ${version} from Debian ${suite} is in ${directory}`);
      return;
    } finally {
      fs.rmSync(work, { recursive: true, force: true });
    }
  }
  throw new Error(`none of Debian's next suites offers criu ${oldestVersion.join('.')}`);
}

async function extractFrom(
  /** @type {string} */ uri,
  /** @type {string} */ suite,
  /** @type {string} */ work,
) {
  for (const name of ['lists/partial', 'cache/archives/partial', 'root']) {
    fs.mkdirSync(path.join(work, name), { recursive: true });
  }
  // apt downloads as its own user, which must be able to enter the directory
  fs.chmodSync(work, 0o755);
  fs.writeFileSync(path.join(work, 'status'), '');
  fs.writeFileSync(path.join(work, 'sources.list'), `${sourceLine(uri, suite, 'main')}\n`);
  const options = [
    'Dir::Etc::sourceparts=/dev/null',
    `Dir::Etc::sourcelist=${work}/sources.list`,
    `Dir::State::lists=${work}/lists`,
    `Dir::Cache=${work}/cache`,
    `Dir::State::status=${work}/status`,
    'APT::Keep-Downloaded-Packages=true',
    'Acquire::Languages=none',
    'DPkg::Post-Invoke=',
    'APT::Update::Post-Invoke=',
  ].flatMap((option) => ['-o', option]);
  const limits = { timeoutMs: 300_000, quiet: true };
  if ((await runLoud('apt-get', [...options, 'update', '-qq'], limits)) !== 0) return null;
  const install = [...options, 'install', '-y', '--no-install-recommends', '--download-only', 'criu'];
  if ((await runLoud('apt-get', install, limits)) !== 0) return null;
  const root = path.join(work, 'root');
  const archives = path.join(work, 'cache/archives');
  for (const file of fs.readdirSync(archives).filter((name) => name.endsWith('.deb'))) {
    await mustRun('dpkg-deb', ['-x', path.join(archives, file), root], limits);
  }
  for (const unneeded of ['usr/share/doc', 'usr/share/man', 'usr/share/locale']) {
    fs.rmSync(path.join(root, unneeded), { recursive: true, force: true });
  }
  fs.mkdirSync(path.join(root, 'bin'), { recursive: true });
  fs.writeFileSync(path.join(root, 'bin/criu'), wrapper, { mode: 0o755 });
  const answer = execFileSync(path.join(root, 'bin/criu'), ['--version'], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  const version = /Version:\s*(\S+)/.exec(answer)?.[1];
  if (!version || !isNewEnough(version)) return null;
  fs.writeFileSync(path.join(root, 'VERSION'), `${version}\n`);
  await replaceDirectory(root, directory);
  return version;
}

/** Puts `built` in the place of `target` so that `target` is at every moment absent, old or complete. */
export async function replaceDirectory(/** @type {string} */ built, /** @type {string} */ target) {
  const aside = `${target}.new-${process.pid}`;
  const old = `${target}.old-${process.pid}`;
  fs.mkdirSync(path.dirname(target), { recursive: true });
  fs.rmSync(aside, { recursive: true, force: true });
  await mustRun('cp', ['-a', '--reflink=auto', built, aside], { timeoutMs: 120_000 });
  fs.chmodSync(aside, 0o755);
  if (fs.existsSync(target)) fs.renameSync(target, old);
  fs.renameSync(aside, target);
  fs.rmSync(old, { recursive: true, force: true });
}
