import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { MoveError } from '../runtime/errors.ts';
import { criuCommand, criuRunPreamble, inNetworkOf, requireKernelKnown, runCriu } from './criu.ts';
import { explainCriuFailure } from './criu-log.ts';
import type { PodPaths, PodRuntimeConfig } from './pod-paths.ts';
import { type CountedUsage, nothingUsed } from './pod-record.ts';
import { rootMountOptions } from './pod-root.ts';
import { gatewayMountPoint } from './pod-spec.ts';
import type { DumpResult, PodSpec, StateFile } from './port.ts';

const manifestName = 'checkpoint.json';
const layerName = 'upper.tar';
/** How tar packs a writable layer, here and wherever one is compared with it. */
export const layerOptions = ['--xattrs', '--xattrs-include=*', '--numeric-owner'];

interface Manifest {
  version: 1;
  spec: PodSpec;
  /** What it had used by then, for its next site to count on from. */
  used?: CountedUsage;
  files: StateFile[];
}

/* Open TCP connections, file locks and deleted files travel; the network is that in which criu is started, and
 * what is mounted from outside is matched up by name on the other side. */
const sharedOptions = [
  '--tcp-established',
  '--network-lock',
  'skip',
  '--file-locks',
  '--link-remap',
  '--manage-cgroups=ignore',
];

function directoryFiles(directory: string): StateFile[] {
  return readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => ({ name: entry.name, bytes: statSync(join(directory, entry.name)).size }))
    .sort((a, b) => a.name.localeCompare(b.name));
}

function readLog(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

/* One shell line, so that nothing waits for the agent between the steps. */
const packFailed = 71;
const dumpScript = `
upper=$1 layer=$2; shift 2
"$@" || exit $?
tar -C "$upper" ${layerOptions.map((option) => `'${option}'`).join(' ')} -cf "$layer" . || exit ${packFailed}
`;

/**
 * Checkpoints the frozen pod whose first process is `pid` into `imageDir` (emptied first): criu's images,
 * the writable layer of its root, and a list of all of it. The pod stays frozen. A dump is never killed,
 * for a dump that dies halfway wakes the pod.
 * @throws MoveError `CHECKPOINT_...` with the cause that criu named; `CRIU_CANNOT_LEARN`.
 */
export async function dumpPod(
  config: PodRuntimeConfig,
  spec: PodSpec,
  paths: PodPaths,
  pid: number,
  imageDir: string,
  used: CountedUsage,
): Promise<DumpResult> {
  const start = performance.now();
  rmSync(imageDir, { recursive: true, force: true });
  mkdirSync(imageDir, { recursive: true, mode: 0o700 });
  mkdirSync(paths.criuWork, { recursive: true });
  await requireKernelKnown(config);
  const log = join(paths.criuWork, 'dump.log');
  rmSync(log, { force: true });
  const run = await runCriu(
    [
      ...['sh', '-c', dumpScript, 'sh', paths.upper, join(imageDir, layerName)],
      ...inNetworkOf(paths.networkNamespace),
      ...criuRunPreamble(config),
      ...criuCommand(config),
      'dump',
      ...[
        '--tree',
        String(pid),
        '--images-dir',
        imageDir,
        '--work-dir',
        paths.criuWork,
        '-o',
        'dump.log',
        '-v1',
      ],
      ...['--external', `mnt[${gatewayMountPoint}]:gateway`],
      ...spec.storage.flatMap((storage) => ['--external', `mnt[${storage.mountPoint}]:${storage.name}`]),
      ...sharedOptions,
      ...['--skip-in-flight', '--ghost-limit', '64M', '--freeze-cgroup', paths.cgroup, '--leave-running'],
    ],
    {},
  );
  if (run.code === packFailed)
    throw new MoveError(
      'CHECKPOINT_DUMP_FAILED',
      `The writable layer of the pod ${spec.id} could not be packed. Look whether there is room left on the site.`,
      { pod: spec.id, imageDir },
    );
  if (run.code !== 0) throw explainCriuFailure('dump', spec.id, readLog(log));
  const manifest: Manifest = { version: 1, spec, used, files: directoryFiles(imageDir) };
  writeFileSync(join(imageDir, manifestName), JSON.stringify(manifest), { mode: 0o600 });
  const files = directoryFiles(imageDir);
  return {
    totalMs: performance.now() - start,
    files,
    totalBytes: files.reduce((sum, file) => sum + file.bytes, 0),
  };
}

/** Every file of a checkpoint, all of them directly in `imageDir`. */
export function checkpointFiles(imageDir: string): StateFile[] {
  if (!existsSync(join(imageDir, manifestName))) {
    throw new MoveError('IMAGE_MISSING', `There is no finished checkpoint in ${imageDir}.`, { imageDir });
  }
  return directoryFiles(imageDir);
}

/**
 * Compares a shipped checkpoint with its own list: a truncated image would make criu hang.
 * Answers what the pod had used by then.
 * @throws MoveError `IMAGE_MISSING`, `IMAGE_INCOMPLETE` or `IMAGE_FOREIGN`.
 */
export function checkCheckpoint(spec: PodSpec, imageDir: string): CountedUsage {
  const present = new Map(checkpointFiles(imageDir).map((file) => [file.name, file.bytes]));
  let manifest: Manifest;
  try {
    manifest = JSON.parse(readFileSync(join(imageDir, manifestName), 'utf8')) as Manifest;
  } catch (error) {
    throw new MoveError(
      'IMAGE_INCOMPLETE',
      'The list of the shipped image is damaged. Ship it again.',
      { imageDir },
      error,
    );
  }
  for (const file of manifest.files) {
    if (present.get(file.name) === file.bytes) continue;
    throw new MoveError(
      'IMAGE_INCOMPLETE',
      `The shipped image is incomplete: ${file.name} has ${present.get(file.name) ?? 'no'} of ${file.bytes} bytes. Ship it again.`,
      { file: file.name, expectedBytes: file.bytes, foundBytes: present.get(file.name) ?? null },
    );
  }
  if (!isDeepStrictEqual(manifest.spec, JSON.parse(JSON.stringify(spec)))) {
    throw new MoveError(
      'IMAGE_FOREIGN',
      `The shipped image is not one of the pod "${spec.id}" as prepared here.`,
      {
        pod: spec.id,
      },
    );
  }
  return manifest.used ?? nothingUsed;
}

/* One shell line, so that nothing waits for the agent between the steps. */
const restoreScript = `
groups=$1 layer=$2 upper=$3 root=$4 options=$5; shift 5
tar -C "$upper" ${layerOptions.map((option) => `'${option}'`).join(' ')} -xpf "$layer"
mount -t overlay overlay -o "$options" "$root"
IFS=:; for group in $groups; do echo $$ > "$group/cgroup.procs"; done; unset IFS
exec "$@"
`;

/**
 * Unpacks the writable layer, mounts the root and lets criu restore the processes, born in the pod's
 * control groups, under a time limit; `killAll` must end whatever is in that group.
 * @throws MoveError `CHECKPOINT_RESTORE_TIMEOUT` or another `CHECKPOINT_...` with criu's cause; `CRIU_CANNOT_LEARN`.
 */
export async function restorePod(
  config: PodRuntimeConfig,
  spec: PodSpec,
  paths: PodPaths,
  imageDir: string,
  options: {
    groups: readonly string[];
    storage: readonly { name: string; hostPath: string }[];
    deadlineMs: number;
    killAll: () => void;
  },
): Promise<number> {
  mkdirSync(paths.criuWork, { recursive: true });
  await requireKernelKnown(config);
  const log = join(paths.criuWork, 'restore.log');
  rmSync(log, { force: true });
  const run = await runCriu(
    [
      ...['sh', '-e', '-c', restoreScript, 'sh'],
      ...[
        options.groups.join(':'),
        join(imageDir, layerName),
        paths.upper,
        paths.root,
        rootMountOptions(config, spec, paths),
      ],
      ...inNetworkOf(paths.networkNamespace),
      ...criuRunPreamble(config),
      ...criuCommand(config),
      'restore',
      ...[
        '--images-dir',
        imageDir,
        '--work-dir',
        paths.criuWork,
        '-o',
        'restore.log',
        '-v1',
        '--root',
        paths.root,
      ],
      ...['--external', `mnt[gateway]:${config.gatewayPath}`],
      ...options.storage.flatMap((storage) => ['--external', `mnt[${storage.name}]:${storage.hostPath}`]),
      ...sharedOptions,
      '--restore-detached',
    ],
    { deadlineMs: options.deadlineMs, onTimeout: options.killAll },
  );
  if (run.timedOut) {
    throw new MoveError(
      'CHECKPOINT_RESTORE_TIMEOUT',
      `The pod ${spec.id} could not be restored within ${options.deadlineMs} ms. Storage that does not answer or a ` +
        'damaged image are the usual causes.',
      { pod: spec.id, deadlineMs: options.deadlineMs },
    );
  }
  if (run.code !== 0) throw explainCriuFailure('restore', spec.id, readLog(log));
  return run.elapsedMs;
}
