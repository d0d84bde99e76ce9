import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { MoveError } from '../runtime/errors.ts';

/** Where one lab keeps what is visible outside of its namespaces, all below the state directory. */
export interface LabPaths {
  directory: string;
  manifest: string;
  controlSocket: string;
  bridgeSocket: string;
  log: string;
  sshDirectory: string;
  sshKey: string;
  sshPublicKey: string;
  sshConfig: string;
  knownHosts: string;
  /** The answers that a start needs inside of the namespaces: specification, keys, owner. */
  request: string;
}

/** The state directory when nobody names one: MOVE_HOME, else the XDG state directory's. */
export function defaultHome(environment: NodeJS.ProcessEnv = process.env): string {
  if (environment.MOVE_HOME) return path.resolve(environment.MOVE_HOME);
  const state = environment.XDG_STATE_HOME || path.join(os.homedir(), '.local/state');
  return path.join(path.resolve(state), 'move-console');
}

/**
 * The paths of the lab of a state directory.
 * @throws MoveError `HOME_TOO_LONG` when a unix socket below `home` would exceed the kernel's 107 bytes.
 */
export function labPaths(home: string): LabPaths {
  const directory = path.join(path.resolve(home), 'lab');
  const ssh = path.join(directory, 'ssh');
  const paths = {
    directory,
    manifest: path.join(directory, 'manifest.json'),
    controlSocket: path.join(directory, 'control.sock'),
    bridgeSocket: path.join(directory, 'admin-ssh.sock'),
    log: path.join(directory, 'lab.log'),
    sshDirectory: ssh,
    sshKey: path.join(ssh, 'id_ed25519'),
    sshPublicKey: path.join(ssh, 'id_ed25519.pub'),
    sshConfig: path.join(ssh, 'config'),
    knownHosts: path.join(ssh, 'known_hosts'),
    request: path.join(directory, 'request.json'),
  };
  if (Buffer.byteLength(paths.bridgeSocket) > 107) {
    throw new MoveError(
      'HOME_TOO_LONG',
      `The path ${home} is too long for a socket below it: choose a shorter one.`,
      {
        home,
      },
    );
  }
  return paths;
}

/** What a lab leaves in the state directory while it lives; the keeper removes it afterwards. */
export function transientFiles(paths: LabPaths): string[] {
  return [
    paths.manifest,
    paths.controlSocket,
    paths.bridgeSocket,
    paths.sshKey,
    paths.sshPublicKey,
    paths.sshConfig,
    paths.knownHosts,
    paths.request,
    paths.sshDirectory,
  ];
}

/** The cache that set-up fills: criu, native helpers, pod images. */
export function cacheDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  return path.resolve(environment.MOVE_CACHE || '/var/cache/move-console');
}

/**
 * A file or directory that comes with the product, by its path in the checkout; found from a bundle in
 * dist/ as well as from the sources.
 * @throws MoveError `ASSET_MISSING`
 */
export function productFile(relative: string): string {
  for (let directory = import.meta.dirname; ; directory = path.dirname(directory)) {
    const candidate = path.join(directory, relative);
    if (existsSync(candidate)) return candidate;
    if (directory === path.dirname(directory)) break;
  }
  throw new MoveError(
    'ASSET_MISSING',
    `${relative} is missing from the installation: install MOVE Console again.`,
    {
      relative,
    },
  );
}
