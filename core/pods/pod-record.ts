import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { MoveError } from '../runtime/errors.ts';
import type { PodPaths, PodRuntimeConfig } from './pod-paths.ts';
import { podPaths } from './pod-paths.ts';
import type { PodSpec } from './port.ts';

/** What a site keeps of a pod across restarts; everything else is asked of the kernel. */
export interface PodRecord {
  version: 1;
  spec: PodSpec;
  /** True between `prepareTarget` and a successful `restore`. */
  prepared: boolean;
  /** What it had used before its present control groups and network were made. */
  used?: CountedUsage;
}

/** The part of a pod's usage that adds up. */
export interface CountedUsage {
  processorMs: number;
  receivedBytes: number;
  sentBytes: number;
}

export const nothingUsed: CountedUsage = { processorMs: 0, receivedBytes: 0, sentBytes: 0 };

/** Writes the record so that a crash leaves the old or the new one, never half of one. */
export function saveRecord(paths: PodPaths, record: PodRecord): void {
  mkdirSync(dirname(paths.record), { recursive: true, mode: 0o700 });
  const draft = `${paths.record}.new`;
  const file = openSync(draft, 'w', 0o600);
  try {
    writeSync(file, `${JSON.stringify(record, null, 2)}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(draft, paths.record);
}

/** @throws MoveError `POD_UNKNOWN` when this site has no such pod, `POD_RECORD_DAMAGED` when it is unreadable. */
export function loadRecord(config: PodRuntimeConfig, id: string): PodRecord {
  const paths = podPaths(config, id);
  if (!/^[a-z0-9-]{1,40}$/.test(id) || !existsSync(paths.record)) {
    throw new MoveError('POD_UNKNOWN', `There is no pod "${id}" on this site.`, { pod: id });
  }
  try {
    return JSON.parse(readFileSync(paths.record, 'utf8')) as PodRecord;
  } catch (error) {
    throw new MoveError(
      'POD_RECORD_DAMAGED',
      `The record of the pod "${id}" cannot be read. Discard the pod and create it again.`,
      { pod: id, path: paths.record },
      error,
    );
  }
}

/** The ids of all pods that this site has a record of. */
export function recordedPods(config: PodRuntimeConfig): string[] {
  if (!existsSync(config.stateDir)) return [];
  return readdirSync(config.stateDir).filter((name) => existsSync(join(config.stateDir, name, 'pod.json')));
}
