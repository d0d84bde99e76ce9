import { existsSync, readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { MoveError } from '../runtime/errors.ts';
import { runProgram } from '../runtime/process.ts';
import {
  askLab,
  type LabCounters,
  type LabRunningStatus,
  labCountersSchema,
  labStatusSchema,
  type Rotation,
  rotationSchema,
} from './control-protocol.ts';
import { freezerPrefix, freezerRoot } from './freezer.ts';
import { type LabLinkName, type LabManifest, labManifestSchema } from './manifest.ts';
import { defaultHome, labPaths, productFile, transientFiles } from './paths.ts';

export interface LabOptions {
  /** The state directory; by default MOVE_HOME or the XDG one. */
  home?: string;
}

export interface StartLabOptions extends LabOptions {
  /** A specification file; by default the one that comes with the product. */
  spec?: string;
  signal?: AbortSignal;
}

export type LabStatus = LabRunningStatus | { running: false };

/** The most that starting or stopping a lab may take, in milliseconds. */
const startLimitMs = 60_000;
const stopLimitMs = 30_000;

/**
 * Starts the lab of a state directory and returns its manifest when every host answers by SSH. The lab
 * outlives the caller. Where it already runs, its manifest is returned and nothing is started.
 * @throws MoveError `LAB_SPEC_INVALID`, `LAB_NEEDS_ROOT`, `LAB_START_FAILED`, `CANCELLED`.
 */
export async function startLab(options: StartLabOptions = {}): Promise<LabManifest> {
  const home = options.home ?? defaultHome();
  if ((await labStatus({ home })).running) return readLabManifest({ home });
  const spec = options.spec ? path.resolve(options.spec) : productFile('core/lab/default-spec.yaml');
  const answer = await asRoot(
    ['up', '--home', path.resolve(home), '--spec', spec, ...ownerArguments()],
    options.signal,
  );
  return labManifestSchema.parse(answer);
}

/**
 * Ends the lab of a state directory and returns when nothing of it is left. Without a lab it removes
 * what a killed one may have left.
 * @throws MoveError `LAB_STUCK` when something remains.
 */
export async function stopLab(options: LabOptions = {}): Promise<void> {
  const paths = labPaths(options.home ?? defaultHome());
  const manifest = existsSync(paths.manifest) ? await readLabManifest(options).catch(() => null) : null;
  try {
    await askLab(paths.controlSocket, { command: 'down' }, 5_000);
  } catch (error) {
    if (!(error instanceof MoveError) || !['LAB_NOT_RUNNING', 'LAB_SILENT'].includes(error.code)) throw error;
    if (remains(paths.directory, manifest?.labId).length > 0) {
      await asRoot(['remove', '--home', path.resolve(options.home ?? defaultHome()), ...ownerArguments()]);
    }
  }
  const deadline = performance.now() + stopLimitMs;
  for (;;) {
    const left = remains(paths.directory, manifest?.labId);
    if (left.length === 0) return;
    if (performance.now() > deadline) {
      throw new MoveError('LAB_STUCK', `The lab ended, but this is left of it: ${left.join(', ')}.`, {
        left,
      });
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Whether the lab of a state directory runs, and how each of its hosts is. */
export async function labStatus(options: LabOptions = {}): Promise<LabStatus> {
  try {
    return labStatusSchema.parse(await ask(options, { command: 'status' }));
  } catch (error) {
    if (error instanceof MoveError && error.code === 'LAB_NOT_RUNNING') return { running: false };
    throw error;
  }
}

/** Reads the manifest of a running lab. @throws MoveError `LAB_NOT_RUNNING` */
export async function readLabManifest(options: LabOptions = {}): Promise<LabManifest> {
  const { manifest } = labPaths(options.home ?? defaultHome());
  let text: string;
  try {
    text = await readFile(manifest, 'utf8');
  } catch (cause) {
    throw new MoveError(
      'LAB_NOT_RUNNING',
      'No lab is running. Start one with "lab up".',
      { manifest },
      cause,
    );
  }
  return labManifestSchema.parse(JSON.parse(text));
}

/**
 * Pulls a host's plug, or boots it again with what it had in /var/lib/move.
 * @throws MoveError `HOST_UNKNOWN`, `HOST_NOT_READY`, `LAB_NOT_RUNNING`.
 */
export async function setHostPower(host: string, on: boolean, options: LabOptions = {}): Promise<void> {
  await ask(options, { command: 'power', host, on }, 30_000);
}

/**
 * Cuts a link of a host (everything on it vanishes without a word) or mends it.
 * @throws MoveError `HOST_UNKNOWN`, `LINK_UNKNOWN`, `LAB_NOT_RUNNING`.
 */
export async function setLink(
  host: string,
  link: LabLinkName,
  up: boolean,
  options: LabOptions = {},
): Promise<void> {
  await ask(options, { command: 'link', host, link, up });
}

/**
 * Gives a stepping stone its next global address; the last two old ones stay for running connections
 * unless `dropOld`.
 * @throws MoveError `HOST_UNKNOWN`, `NOT_A_STONE`, `LAB_NOT_RUNNING`.
 */
export async function rotateStone(
  host: string,
  options: LabOptions & { dropOld?: boolean } = {},
): Promise<Rotation> {
  const answer = await ask(options, { command: 'rotate', host, dropOld: options.dropOld ?? false });
  return rotationSchema.parse(answer);
}

/** What the routers counted on every link, and what their rules dropped, since the lab came up. */
export async function readLabCounters(options: LabOptions = {}): Promise<LabCounters> {
  return labCountersSchema.parse(await ask(options, { command: 'counters' }));
}

function ask(
  options: LabOptions,
  request: Parameters<typeof askLab>[1],
  timeoutMs = 10_000,
): Promise<unknown> {
  return askLab(labPaths(options.home ?? defaultHome()).controlSocket, request, timeoutMs);
}

/** What is left in sight of a lab: files in the state directory, directories in the freezer's tree. */
function remains(directory: string, labId: string | undefined): string[] {
  const files = transientFiles(labPaths(path.dirname(directory))).filter((file) => existsSync(file));
  const tree = freezerRoot().directory;
  const groups = labId ? readdirSync(tree).filter((name) => name === `${freezerPrefix}${labId}`) : [];
  return [...files, ...groups.map((name) => path.join(tree, name))];
}

function ownerArguments(): string[] {
  return ['--owner', `${process.getuid?.() ?? 0}:${process.getgid?.() ?? 0}`];
}

/** The lab's own program: beside the bundle that this is part of, or the source file. */
function labEntry(): string {
  const bundled = path.join(import.meta.dirname, 'lab.mjs');
  return existsSync(bundled) ? bundled : path.join(import.meta.dirname, 'main.ts');
}

/** Runs the lab's program as root, by sudo where the caller is not root, and returns its answer. */
async function asRoot(args: readonly string[], signal?: AbortSignal): Promise<unknown> {
  const command = [process.execPath, labEntry(), ...args];
  const environment = ['MOVE_CACHE', 'PATH'].flatMap((name) =>
    process.env[name] === undefined ? [] : [`${name}=${process.env[name]}`],
  );
  const [program, ...rest] =
    process.getuid?.() === 0 ? command : ['sudo', '-n', 'env', ...environment, ...command];
  const result = await runProgram(program ?? '', rest, {
    timeoutMs: startLimitMs,
    maxOutputBytes: 4 << 20,
    ...(signal ? { signal } : {}),
  });
  const line = result.stdout.split('\n').find((text) => text.startsWith('{'));
  if (line === undefined) {
    const code = program === 'sudo' ? 'LAB_NEEDS_ROOT' : 'LAB_START_FAILED';
    const why =
      program === 'sudo' ? 'it needs root, and sudo refused' : 'its process ended without an answer';
    throw new MoveError(code, `The lab did not start: ${why}.`, { stderr: result.stderr.slice(-1500) });
  }
  const answer = JSON.parse(line);
  if (!answer.ok) throw MoveError.fromBody(answer.error);
  return answer.result;
}
