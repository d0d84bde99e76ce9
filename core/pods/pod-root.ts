import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { MoveError } from '../runtime/errors.ts';
import { runChecked, runProgram } from '../runtime/process.ts';
import type { PodPaths, PodRuntimeConfig } from './pod-paths.ts';
import { serviceAddressOf } from './pod-spec.ts';
import type { PodSpec } from './port.ts';

const limit = { timeoutMs: 10_000 };

/**
 * The mount options of a pod's root. The features that tie an upper layer to one lower file system
 * (index, origin, redirects) are off: the upper layer moves to a host with its own copy of the image.
 */
export function rootMountOptions(config: PodRuntimeConfig, spec: PodSpec, paths: PodPaths): string {
  const lower = join(config.imagesDir, spec.image);
  if (!existsSync(join(lower, 'bin'))) {
    throw new MoveError(
      'POD_IMAGE_MISSING',
      `The image "${spec.image}" is not on this site. Provision the host again to install it.`,
      { image: spec.image, path: lower },
    );
  }
  for (const path of [lower, paths.upper, paths.work]) {
    if (/[,:\\]/.test(path)) {
      throw new MoveError('POD_PATH_INVALID', `The path ${path} cannot be part of an overlay.`, { path });
    }
  }
  return `lowerdir=${lower},upperdir=${paths.upper},workdir=${paths.work},index=off,metacopy=off,redirect_dir=off,xino=off`;
}

/** True when something is mounted at `path`, as this process sees it. */
export function isMounted(path: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .some((line) => line.split(' ')[4] === path);
}

/** Empties the writable layer and makes the directories of a pod's root; mounts nothing. */
export async function makeRootDirectories(paths: PodPaths): Promise<void> {
  await unmountRoot(paths);
  for (const path of [paths.upper, paths.work]) rmSync(path, { recursive: true, force: true });
  for (const path of [paths.upper, paths.work, paths.root, paths.criuWork])
    mkdirSync(path, { recursive: true });
}

/** Mounts the root; done already is fine. */
export async function mountRoot(config: PodRuntimeConfig, spec: PodSpec, paths: PodPaths): Promise<void> {
  if (isMounted(paths.root)) return;
  const options = rootMountOptions(config, spec, paths);
  await runChecked('mount', ['-t', 'overlay', 'overlay', '-o', options, paths.root], limit);
}

/** Unmounts the root; not mounted is fine. */
export async function unmountRoot(paths: PodPaths): Promise<void> {
  for (let tries = 0; tries < 4 && isMounted(paths.root); tries++) {
    await runProgram('umount', ['-l', paths.root], limit);
  }
}

const furnishScript = `
root=$1 name=$2 address=$3 terminals=$4; shift 4
rm -rf "$root/dev"; mkdir -p "$root/dev/shm" "$root/proc" "$root/run" "$root/var/log" "$root/etc"
chmod 1777 "$root/dev/shm"
set_node() { mknod -m "$2" "$root/dev/$1" c "$3" "$4"; }
set_node null 666 1 3; set_node zero 666 1 5; set_node full 666 1 7
set_node random 666 1 8; set_node urandom 666 1 9; set_node tty 666 5 0
ln -s /proc/self/fd "$root/dev/fd"; ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"; ln -s fd/2 "$root/dev/stderr"
if [ -n "$terminals" ]; then
  mkdir "$root/dev/pts"; ln -s pts/ptmx "$root/dev/ptmx"
  rm "$root/dev/tty"; ln -s /proc/self/fd/2 "$root/dev/tty"
fi
printf '127.0.0.1 localhost\\n%s %s\\n' "$address" "$name" > "$root/etc/hosts"
printf '%s\\n' "$name" > "$root/etc/hostname"
rm -f "$root/etc/resolv.conf"; : > "$root/etc/resolv.conf"
: > "$root/.move-gateway"
for point in "$@"; do mkdir -p "$root$point"; done
`;

/**
 * Puts into a mounted root what the base image must not carry: devices, host names, an empty
 * resolver (else a service waits for name servers that it cannot reach), and mount points. Shared
 * memory is a plain directory of the root: a tmpfs would cost the checkpoint two runs of tar. Where there are
 * terminals, /dev/tty leads to the terminal that a program writes its errors to: held open itself, as shells do for
 * job control, it could not be carried.
 */
export async function furnishRoot(spec: PodSpec, paths: PodPaths): Promise<void> {
  const names = [...new Set([spec.hostname, spec.service])].join(' ');
  const points = spec.storage.map((storage) => storage.mountPoint);
  await runChecked(
    'sh',
    [
      ...['-e', '-c', furnishScript, 'sh', paths.root, names, serviceAddressOf(spec)],
      spec.terminals ? 'terminals' : '',
      ...points,
    ],
    limit,
  );
}

/** Refuses storage that cannot be mounted into a pod, before anything runs. */
export function checkStorageDirectory(name: string, path: string): void {
  if (!existsSync(path) || !statSync(path).isDirectory()) {
    throw new MoveError(
      'POD_STORAGE_MISSING',
      `The directory ${path} for the storage "${name}" is not there. Mount the lifeline or make the directory.`,
      { storage: name, path },
    );
  }
}
