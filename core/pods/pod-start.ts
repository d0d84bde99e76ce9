import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { MoveError } from '../runtime/errors.ts';
import type { Freezer } from './freezer.ts';
import type { PodPaths } from './pod-paths.ts';
import { gatewayMountPoint, gatewaySocketPath, serviceAddressOf, sourceAddressOf } from './pod-spec.ts';
import type { PodSpec } from './port.ts';
import { findPodInit } from './processes.ts';

/* Outside the new namespaces: into the pod's control groups first, so that everything is born there. */
const outerScript = `
IFS=:; for group in $1; do echo $$ > "$group/cgroup.procs"; done; unset IFS
namespace=$2; shift 2
exec nsenter --net="$namespace" unshare --mount --pid --ipc --uts --fork --propagation private sh -e -c "$@"
`;

/* Inside them, as process 1: mounts and the change of root with the host's tools, then the gateway takes
 * this shell's place. From the change of root on nothing but the shell itself is used: an image need
 * contain no tool for us. */
const innerScript = `
root=$1 name=$2 gateway=$3 service=$4 source=$5 socket=$6 terminals=$7 rings=$8 storages=$9; shift 9
hostname "$name"
mount --bind "$root" "$root"
cd "$root"
mount -t proc -o nosuid,nodev,noexec proc proc
mount --bind "$gateway" .move-gateway
mount -o remount,bind,ro .move-gateway
if [ -n "$terminals" ]; then
  mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5,nosuid,noexec devpts dev/pts
fi
while [ "$storages" -gt 0 ]; do
  mount --bind "$1" "$root$2"
  mount -o remount,bind,nosuid,nodev "$root$2"
  shift 2; storages=$((storages - 1))
done
mkdir -p .old-root
pivot_root . .old-root
cd /
exec </dev/null >>/var/log/pod.log 2>&1
exec ${gatewayMountPoint} --socket "$socket" --service-address "$service" --source-address "$source" \
  --io-uring "$rings" --old-root /.old-root -- "$@"
`;

/**
 * Starts the pod's first process (the gateway) in namespaces of its own and returns its host process
 * id. It belongs to nobody in this program: it is adopted by the host's init and lives on when the
 * agent ends. Capabilities beyond those of an ordinary service are gone for good, and no program in
 * the pod can gain any.
 * @throws MoveError `POD_START_FAILED` with the last words of the start, within `deadlineMs`.
 */
export async function startPodInit(
  spec: PodSpec,
  paths: PodPaths,
  freezer: Freezer,
  options: {
    gatewayPath: string;
    /** The control groups that it is born in. */
    groups: readonly string[];
    storage: readonly { mountPoint: string; hostPath: string }[];
    deadlineMs: number;
  },
): Promise<number> {
  const log = openSync(paths.bootLog, 'w', 0o600);
  let child: ChildProcess;
  try {
    child = spawn(
      'sh',
      [
        ...['-e', '-c', outerScript, 'sh', options.groups.join(':'), paths.networkNamespace],
        ...[innerScript, 'sh', paths.root, spec.hostname, options.gatewayPath],
        ...[serviceAddressOf(spec), sourceAddressOf(spec), gatewaySocketPath],
        ...[spec.terminals ? 'terminals' : '', spec.withoutIoUring ? 'refused' : 'allowed'],
        String(options.storage.length),
        ...options.storage.flatMap((storage) => [storage.hostPath, storage.mountPoint]),
        ...spec.command,
      ],
      {
        detached: true,
        stdio: ['ignore', log, log],
        cwd: '/',
        env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' },
      },
    );
  } finally {
    closeSync(log);
  }
  let ended: string | undefined;
  child.once('error', (error) => {
    ended = error.message;
  });
  child.once('exit', (code, signal) => {
    ended = `it ended with ${code ?? signal}`;
  });
  child.unref();
  const deadline = performance.now() + options.deadlineMs;
  for (;;) {
    const init = findPodInit(freezer.processes());
    if (init !== undefined && isGateway(init)) {
      child.kill('SIGKILL'); // only the waiting parent: the pod itself is adopted by init
      return init;
    }
    if (ended !== undefined || performance.now() > deadline) {
      const words = readFileSync(paths.bootLog, 'utf8').trim().slice(-600);
      throw new MoveError(
        'POD_START_FAILED',
        `The pod ${spec.id} did not start: ${words || ended || 'it took too long'}.`,
        { pod: spec.id, output: words },
      );
    }
    await delay(5);
  }
}

/** True once the start script has been replaced by the gateway. */
function isGateway(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith(`${gatewayMountPoint}\0`);
  } catch {
    return false;
  }
}
