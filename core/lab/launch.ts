import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chownSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { MoveError } from '../runtime/errors.ts';
import { runChecked } from '../runtime/process.ts';
import { freezerPrefix, freezerRoot, keeperGroups, labFreezer } from './freezer.ts';
import type { LaunchRequest } from './launch-request.ts';
import { type LabManifest, labManifestSchema } from './manifest.ts';
import { cacheDirectory, type LabPaths, labPaths, productFile, transientFiles } from './paths.ts';
import { readLabSpec } from './spec.ts';

export interface LaunchOptions {
  home: string;
  specFile: string;
  owner: { uid: number; gid: number };
  /** The script that this Node runs as the lab's process: dist/lab.mjs, or core/lab/main.ts. */
  entry: string;
}

const startLimitMs = 45_000;

/**
 * Starts a lab, as root, and returns when it is up; it then lives on without the caller.
 * @throws MoveError `LAB_SPEC_INVALID`, `LAB_HELPER_MISSING`, `LAB_START_FAILED`, or what the lab itself says.
 */
export async function launchLab({ home, specFile, owner, entry }: LaunchOptions): Promise<LabManifest> {
  const spec = await readLabSpec(specFile);
  const paths = labPaths(home);
  const keeper = keeperProgram();
  await sweepRemains(paths);
  const labId = randomBytes(4).toString('hex');
  makeOwned(path.resolve(home), owner);
  makeOwned(paths.directory, owner);
  makeOwned(paths.sshDirectory, owner, 0o700);
  await runChecked(
    'ssh-keygen',
    ['-q', '-t', 'ed25519', '-N', '', '-C', 'move-console', '-f', paths.sshKey],
    {
      timeoutMs: 10_000,
    },
  );
  chownSync(paths.sshKey, owner.uid, owner.gid);
  chownSync(paths.sshPublicKey, owner.uid, owner.gid);
  const dist = path.join(path.dirname(productFile('core/lab/default-spec.yaml')), '../../dist');
  const freezer = labFreezer(labId);
  const request: LaunchRequest = {
    labId,
    home: path.resolve(home),
    spec,
    specHash: createHash('sha256').update(JSON.stringify(spec)).digest('hex'),
    owner,
    cache: cacheDirectory(),
    node: process.execPath,
    dist: existsSync(dist) ? path.resolve(dist) : null,
    freezer,
    samples: Object.fromEntries(
      spec.services.map(({ hostname, sample }) => [hostname, productFile(`assets/samples/${sample}`)]),
    ),
  };
  writeFileSync(paths.request, JSON.stringify(request), { mode: 0o600 });
  const child = spawn(
    keeper,
    [
      '--id',
      labId,
      ...keeperGroups(freezer),
      '--home',
      paths.directory,
      ...transientFiles(paths).flatMap((file) => ['--remove', file]),
      '--',
      process.execPath,
      entry,
      'inside',
      paths.request,
    ],
    { detached: true, stdio: ['ignore', 'pipe', openSync(`${paths.log}.start`, 'w')], cwd: '/' },
  );
  try {
    return await firstAnswer(child, paths);
  } finally {
    child.stdout?.destroy();
    child.unref();
    rmSync(`${paths.log}.start`, { force: true });
  }
}

function firstAnswer(child: ReturnType<typeof spawn>, paths: LabPaths): Promise<LabManifest> {
  return new Promise((resolve, reject) => {
    let text = '';
    const refuse = (why: string) => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      const complaint = existsSync(`${paths.log}.start`)
        ? readFileSync(`${paths.log}.start`, 'utf8').slice(-1500)
        : '';
      reject(
        new MoveError('LAB_START_FAILED', `The lab did not start: ${why}. Its log is ${paths.log}.`, {
          complaint,
        }),
      );
    };
    const timer = setTimeout(() => refuse(`it was not up after ${startLimitMs / 1000} s`), startLimitMs);
    child.once('error', (error) => refuse(error.message));
    child.stdout?.setEncoding('utf8');
    child.stdout?.on('end', () => {
      if (!text.includes('\n')) refuse('it ended before it was up');
    });
    child.stdout?.on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end === -1) return;
      clearTimeout(timer);
      const answer = JSON.parse(text.slice(0, end));
      if (answer.ok) resolve(labManifestSchema.parse(answer.result));
      else reject(MoveError.fromBody(answer.error));
    });
  });
}

/**
 * Removes what labs left behind whose keepers were all killed at one moment: frozen processes, freezer
 * directories, and the files of the lab of this state directory. Labs that live are left alone.
 */
export async function sweepRemains(paths: LabPaths): Promise<void> {
  const { directory } = freezerRoot();
  const alive = livingLabs();
  const dead = readdirSync(directory).filter(
    (name) => name.startsWith(freezerPrefix) && !alive.has(name.slice(freezerPrefix.length)),
  );
  const files = transientFiles(paths);
  if (dead.length === 0 && !files.some((file) => existsSync(file))) return;
  for (const name of dead) {
    const tree = { version: freezerRoot().version, directory: path.join(directory, name) };
    await runChecked(keeperProgram(), ['--sweep', ...keeperGroups(tree)], { timeoutMs: 30_000 });
  }
  await runChecked(keeperProgram(), ['--sweep', ...files.flatMap((file) => ['--remove', file])], {
    timeoutMs: 10_000,
  });
}

/** The identifiers of labs that have a keeper. */
function livingLabs(): Set<string> {
  const ids = new Set<string>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      if (words[0]?.endsWith('labkeeper') && words[1] === '--id' && words[2]) ids.add(words[2]);
    } catch (error) {
      // a process that ended meanwhile is no keeper
      if (!['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
  return ids;
}

function keeperProgram(): string {
  const program = path.join(cacheDirectory(), 'native/labkeeper');
  if (!existsSync(program)) {
    throw new MoveError(
      'LAB_HELPER_MISSING',
      `${program} is missing: start with "npm start", which compiles it.`,
      { program },
    );
  }
  return program;
}

function makeOwned(directory: string, owner: { uid: number; gid: number }, mode = 0o755): void {
  if (existsSync(directory)) return;
  mkdirSync(directory, { recursive: true, mode });
  chownSync(directory, owner.uid, owner.gid);
}
