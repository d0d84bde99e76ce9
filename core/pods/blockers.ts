import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { Blocker } from './port.ts';

const kinds: readonly { code: string; target: RegExp; sentence: string }[] = [
  {
    code: 'CHECKPOINT_IO_URING',
    target: /^anon_inode:\[io_uring\]/,
    sentence: 'uses io_uring, which cannot be carried. Switch it off in the service',
  },
  {
    code: 'CHECKPOINT_INOTIFY',
    target: /^anon_inode:\[?(?:inotify|fanotify)\]?/,
    sentence: 'watches files with inotify, which cannot be carried on the pod root',
  },
  {
    code: 'CHECKPOINT_TERMINAL',
    target: /^\/dev\/(?:tty|pts\/\d+|ptmx|console)/,
    sentence: 'holds a terminal. Close interactive shells in the pod',
  },
  {
    code: 'CHECKPOINT_KERNEL_OBJECT',
    target: /^anon_inode:\[?(?:bpf|perf_event|userfaultfd|kvm)/,
    sentence: 'holds a kernel object that cannot be carried',
  },
];

/** A pod with terminals of its own carries both ends of them. */
const ownTerminal = /^\/dev\/(?:pts\/\d+|pts\/ptmx|ptmx)/;

/**
 * What one open file's link target (/proc/PID/fd) means for a checkpoint, or undefined. `ownTerminals` says that
 * the pod has a /dev/pts of its own.
 */
export function blockerOf(target: string, process: string, ownTerminals = false): Blocker | undefined {
  if (ownTerminals && ownTerminal.test(target)) return undefined;
  const kind = kinds.find((candidate) => candidate.target.test(target));
  return kind && { code: kind.code, message: `The process ${process} ${kind.sentence}.`, process };
}

/**
 * Looks through the open files of the given processes for what criu is known to refuse; one entry for
 * each kind and program. A process or file that goes away meanwhile is passed over.
 */
export function findBlockers(pids: readonly number[], ownTerminals = false): Blocker[] {
  const found = new Map<string, Blocker>();
  for (const pid of pids) {
    try {
      const name = readFileSync(`/proc/${pid}/comm`, 'latin1').trim();
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        const blocker = blockerOf(readlinkSync(`/proc/${pid}/fd/${fd}`), name, ownTerminals);
        if (blocker) found.set(`${blocker.code} ${name}`, blocker);
      }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOENT' && code !== 'ESRCH') throw error;
    }
  }
  return [...found.values()];
}
