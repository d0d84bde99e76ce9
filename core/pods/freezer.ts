import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { setTimeout as delay, setImmediate as immediate } from 'node:timers/promises';
import { MoveError } from '../runtime/errors.ts';

/**
 * One pod's control group: the freezer of cgroup v1 or v2. All of it is plain file work, because it
 * lies on the hot path of a move.
 */
export class Freezer {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  create(): void {
    mkdirSync(this.path, { recursive: true });
    if (!existsSync(`${this.path}/freezer.state`) && !existsSync(`${this.path}/cgroup.freeze`)) {
      throw new MoveError(
        'FREEZER_MISSING',
        `${this.path} belongs to no control group that can freeze. Mount the freezer controller or cgroup v2.`,
        { path: this.path },
      );
    }
  }

  exists(): boolean {
    return existsSync(`${this.path}/cgroup.procs`);
  }

  /** Host process ids of everything in the group; empty when there is no group. */
  processes(): number[] {
    try {
      return readFileSync(`${this.path}/cgroup.procs`, 'latin1').split('\n').filter(Boolean).map(Number);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  /** True once every task has stopped; false while still freezing. */
  isFrozen(): boolean {
    try {
      if (this.isUnified()) return /^frozen 1$/m.test(readFileSync(`${this.path}/cgroup.events`, 'latin1'));
      return readFileSync(`${this.path}/freezer.state`, 'latin1').trim() === 'FROZEN';
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    }
  }

  /**
   * Stops every task and returns when all have stopped.
   * @throws MoveError `POD_FREEZE_TIMEOUT` after `deadlineMs`; the group is thawed again then.
   */
  async freeze(deadlineMs: number): Promise<void> {
    const start = performance.now();
    this.write(true);
    for (let spin = 0; !this.isFrozen(); spin++) {
      if (performance.now() - start > deadlineMs) {
        this.write(false);
        throw new MoveError(
          'POD_FREEZE_TIMEOUT',
          `The pod could not be frozen within ${deadlineMs} ms; a process is stuck in the kernel, often on ` +
            'storage that no longer answers. It runs on.',
          { path: this.path },
        );
      }
      await (spin < 20 ? immediate() : delay(1));
    }
  }

  thaw(): void {
    if (this.exists()) this.write(false);
  }

  remove(): void {
    try {
      rmdirSync(this.path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }

  private isUnified(): boolean {
    return existsSync(`${this.path}/cgroup.freeze`);
  }

  private write(frozen: boolean): void {
    if (this.isUnified()) writeFileSync(`${this.path}/cgroup.freeze`, frozen ? '1' : '0');
    else writeFileSync(`${this.path}/freezer.state`, frozen ? 'FROZEN' : 'THAWED');
  }
}
