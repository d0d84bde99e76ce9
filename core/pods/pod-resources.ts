import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { MoveError } from '../runtime/errors.ts';
import type { PodLimits } from './port.ts';

/** cgroup v1's controllers that a pod is bounded and counted by; each has a hierarchy of its own. */
const controllers = ['memory', 'pids', 'cpu', 'cpuacct'] as const;
type Controller = (typeof controllers)[number];

const periodUs = 100_000;
const mebibyte = 1024 * 1024;
/** Processes that criu is itself while it restores. */
export const roomForRestore = 4;

/** What the control groups counted since they were made. */
export interface GroupUsage {
  processorMs: number;
  /** Without file pages that the kernel would give back at once. */
  memoryBytes: number;
}

/**
 * The control groups that bound one pod's processors, memory and processes, and count what it uses, beside the group
 * that freezes it. In cgroup v1 each controller has a hierarchy of its own, and the group has the same place in each;
 * in v2 it is the freezer's own group. Which there are is looked up, not assumed: a limit that this host cannot keep
 * is refused.
 */
export class PodResources {
  readonly #freezerGroup: string;
  readonly #limits: PodLimits;
  readonly #directories = new Map<Controller, string>();
  readonly #unified: boolean;

  /** `freezerGroup` is the pod's group in the freezer's tree, below `hierarchies`. */
  constructor(freezerGroup: string, limits: PodLimits, hierarchies = '/sys/fs/cgroup') {
    this.#freezerGroup = freezerGroup;
    this.#limits = limits;
    const place = relative(hierarchies, freezerGroup).split('/').slice(1).join('/');
    // A group of its own would give all of the pod the weight of one program of the host's.
    for (const controller of controllers)
      if (controller === 'cpu' && limits.processors === undefined) continue;
      else if (existsSync(join(hierarchies, controller, 'cgroup.procs')))
        this.#directories.set(controller, join(hierarchies, controller, place));
    this.#unified = this.#directories.size === 0;
  }

  /** Every group whose processes are the pod's, the freezer's first: what is born in them stays in them. */
  groups(): string[] {
    return [...new Set([this.#freezerGroup, ...this.#directories.values()])];
  }

  /** Makes the groups; the freezer's own is there already. */
  create(): void {
    for (const directory of this.#directories.values()) mkdirSync(directory, { recursive: true });
    if (!this.#unified) return;
    // From the top down: a group's children have the controllers that it was told to pass on.
    const parent = dirname(this.#freezerGroup);
    for (const above of [dirname(parent), parent])
      for (const controller of ['memory', 'pids', 'cpu'])
        try {
          writeFileSync(join(above, 'cgroup.subtree_control'), `+${controller}`);
        } catch {
          // Not there, or in the hands of somebody else; `limit` looks at what came of it.
        }
  }

  /**
   * Bounds the pod; what is not named stays without a bound.
   * @throws MoveError `POD_LIMIT_UNSUPPORTED` naming the first limit that this host cannot keep.
   */
  limit(): void {
    const { memoryMiB, processes } = this.#limits;
    if (memoryMiB !== undefined)
      this.#write('memoryMiB', 'memory', ['memory.limit_in_bytes', 'memory.max'], memoryMiB * mebibyte);
    if (processes !== undefined) this.#write('processes', 'pids', ['pids.max', 'pids.max'], processes);
    this.limitProcessors();
  }

  /** The share of processors alone: lifted while a pod is being frozen, since who may not run is slow to stop. */
  limitProcessors(): void {
    const { processors } = this.#limits;
    if (processors === undefined) return;
    const quota = Math.round(processors * periodUs);
    this.#write(
      'processors',
      'cpu',
      ['cpu.cfs_quota_us', 'cpu.max'],
      this.#unified ? `${quota} ${periodUs}` : quota,
    );
  }

  liftProcessors(): void {
    if (this.#limits.processors === undefined) return;
    this.#write('processors', 'cpu', ['cpu.cfs_quota_us', 'cpu.max'], this.#unified ? 'max' : -1);
  }

  /**
   * Makes room for criu beside the pod that it restores; `limit` takes it back. No more than that: the pod runs as
   * soon as it is whole, and may be one that forks whenever it can.
   */
  liftForRestore(): void {
    this.liftProcessors();
    const { processes } = this.#limits;
    if (processes === undefined) return;
    this.#write('processes', 'pids', ['pids.max', 'pids.max'], processes + roomForRestore);
  }

  /** Undefined where this host does not count, or the pod has no groups. */
  usage(): GroupUsage | undefined {
    try {
      if (this.#unified) {
        const spent = field(join(this.#freezerGroup, 'cpu.stat'), 'usage_usec') / 1000;
        const held = Number(readFileSync(join(this.#freezerGroup, 'memory.current'), 'latin1'));
        const given = field(join(this.#freezerGroup, 'memory.stat'), 'inactive_file');
        return { processorMs: spent, memoryBytes: Math.max(0, held - given) };
      }
      const cpuacct = this.#directories.get('cpuacct');
      const memory = this.#directories.get('memory');
      if (cpuacct === undefined || memory === undefined) return undefined;
      const spent = Number(readFileSync(join(cpuacct, 'cpuacct.usage'), 'latin1')) / 1_000_000;
      const held = Number(readFileSync(join(memory, 'memory.usage_in_bytes'), 'latin1'));
      const given = field(join(memory, 'memory.stat'), 'total_inactive_file');
      return { processorMs: spent, memoryBytes: Math.max(0, held - given) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Removes the groups beside the freezer's. @throws what rmdir does, `EBUSY` while processes are being reaped. */
  remove(): void {
    for (const directory of this.#directories.values())
      try {
        rmdirSync(directory);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
  }

  #write(
    limit: keyof PodLimits,
    controller: Controller,
    [first, second]: [string, string],
    value: string | number,
  ): void {
    const directory = this.#unified ? this.#freezerGroup : this.#directories.get(controller);
    const file = directory && join(directory, this.#unified ? second : first);
    if (file === undefined || !existsSync(file))
      throw new MoveError(
        'POD_LIMIT_UNSUPPORTED',
        `This site cannot limit ${limit}: the kernel's ${controller} control group is not at hand. Mount it, or take the limit out of the service's file.`,
        { limit, controller },
      );
    writeFileSync(file, String(value));
  }
}

function field(file: string, name: string): number {
  const found = new RegExp(`^${name} (\\d+)$`, 'm').exec(readFileSync(file, 'latin1'))?.[1];
  return Number(found ?? 0);
}
