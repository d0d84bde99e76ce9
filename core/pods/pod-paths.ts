import { createHash } from 'node:crypto';
import { join } from 'node:path';

/** Where a pod runtime finds and keeps things; nothing else on the host is assumed. */
export interface PodRuntimeConfig {
  /** Survives a restart of the host: records and writable layers. Not on an overlay. */
  stateDir: string;
  /** A tmpfs: network namespaces and checkpoint scratch. */
  runDir: string;
  /** Base root file systems, one directory a name, read-only to pods. */
  imagesDir: string;
  /** A private extraction of criu >= 4.2 with its own loader and libraries. */
  criuHome: string;
  gatewayPath: string;
  /** The limits shim, used only where CAP_SYS_RESOURCE is missing. */
  shimPath: string;
  /** A directory of the freezer controller (cgroup v1) or of the unified hierarchy (v2), ours alone. */
  cgroupRoot: string;
  /** The network namespace of the host, when it is not the runtime's own. */
  hostNetworkNamespace?: string;
}

export interface PodPaths {
  home: string;
  record: string;
  upper: string;
  work: string;
  root: string;
  run: string;
  networkNamespace: string;
  criuWork: string;
  bootLog: string;
  cgroup: string;
  /** The host's end of the pod's link; at most 15 characters. */
  link: string;
  publishTable: string;
  dialTable: string;
}

/** All the places of one pod. Link and table names are private to this runtime's state directory. */
export function podPaths(config: PodRuntimeConfig, id: string): PodPaths {
  const home = join(config.stateDir, id);
  const run = join(config.runDir, id);
  const short = createHash('sha256').update(`${config.stateDir}\0${id}`).digest('hex').slice(0, 10);
  return {
    home,
    record: join(home, 'pod.json'),
    upper: join(home, 'upper'),
    work: join(home, 'work'),
    root: join(home, 'root'),
    run,
    networkNamespace: join(run, 'net'),
    criuWork: join(run, 'criu'),
    bootLog: join(home, 'boot.log'),
    cgroup: join(config.cgroupRoot, `pod-${id}`),
    link: `mvp${short}`,
    publishTable: `move_publish_${short}`,
    dialTable: `move_dial_${short}`,
  };
}
