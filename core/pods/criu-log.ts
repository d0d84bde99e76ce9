import { MoveError } from '../runtime/errors.ts';

interface Cause {
  code: string;
  pattern: RegExp;
  sentence: string;
}

/* Most telling first: criu reports the root of a failure and then everything that falls over with it. */
const causes: readonly Cause[] = [
  {
    code: 'CHECKPOINT_IO_URING',
    pattern: /io_uring/i,
    sentence:
      'the service uses io_uring, which cannot be carried. Switch it off in the service and try again',
  },
  {
    code: 'CHECKPOINT_DISK_FULL',
    pattern: /No space left on device|ENOSPC|\(errno = 28\b/,
    sentence: 'there is no room left for the image. Free space in the run directory',
  },
  {
    code: 'CHECKPOINT_INOTIFY',
    pattern: /inotify|fsnotify|fanotify|Can't open file handle|irmap/i,
    sentence: 'the service watches files with inotify on the pod root, which cannot be carried',
  },
  {
    code: 'CHECKPOINT_TERMINAL',
    pattern: /\btty\b|\bpts\b|Found dangling tty|session leader/i,
    sentence: 'a process in the pod holds a terminal. Close interactive shells in the pod',
  },
  {
    code: 'CHECKPOINT_ADDRESS_MISSING',
    pattern: /Can't bind inet socket|EADDRNOTAVAIL|Cannot assign requested address/i,
    sentence:
      'the service listens on an address that the new site lacks. Bind it to the pod address or to all',
  },
  {
    code: 'CHECKPOINT_LINKED_FILE',
    pattern: /link[_-]remap|hard ?link|ghost file|ghost[_-]limit|Can't dump ghost/i,
    sentence: 'the service keeps a deleted file open that is too large or linked elsewhere',
  },
  {
    code: 'CHECKPOINT_EXTERNAL_FILE',
    pattern:
      /doesn't have a proper root mount|Can't lookup mount|mnt_id|outside of (?:the )?root|external mount/i,
    sentence: 'a process holds a file or mount from outside the pod. Restart the service inside its pod',
  },
  {
    code: 'CHECKPOINT_UNIX_PEER',
    pattern: /unix.*(?:peer|external|in-flight)|External socket/i,
    sentence: 'a local connection leads out of the pod. Pause the gateway first',
  },
  {
    code: 'CHECKPOINT_PACKET_SOCKET',
    pattern: /packet socket|Unsupported.*socket|Unknown socket|Can't dump.*(?:netlink|raw)/i,
    sentence: 'the service holds a kind of socket that cannot be carried',
  },
  {
    code: 'CHECKPOINT_FILE_CHANGED',
    pattern: /has bad size|bad mode|has bad build-ID|File .* doesn't match|checksum/i,
    sentence:
      'a file that the service has open differs here. Bring image and software of both sites to the same state',
  },
  {
    code: 'CHECKPOINT_IMAGE_DAMAGED',
    pattern:
      /Can't open file .*\.img|No .*\.img|Corrupted|Unexpected EOF|Can't read.*img|magic doesn't match|Image file.*format/i,
    sentence: 'the image is incomplete or damaged. Ship it again',
  },
  {
    code: 'CHECKPOINT_STORAGE_SILENT',
    pattern: /Input\/output error/,
    sentence: 'its storage gave an input/output error. Look at its lifeline, then move it again',
  },
  {
    code: 'CHECKPOINT_PERMISSION',
    pattern: /Operation not permitted|EPERM/,
    sentence:
      'the kernel refused a step. Run the agent as root, with the limits shim where CAP_SYS_RESOURCE is missing',
  },
];

/** The lines of a criu log that say what went wrong, without the ones that are known to be harmless. */
export function criuErrorLines(log: string): string[] {
  return log
    .split('\n')
    .filter((line) => /\bError\b/.test(line) && !/rlimit|Dumping FAILED|Restoring FAILED/.test(line))
    .map((line) => line.replace(/^\(\d+\.\d+\)\s*/, '').trim());
}

/** Turns a failed run of criu into a code and a sentence; `log` is criu's own log. */
export function explainCriuFailure(action: 'dump' | 'restore', pod: string, log: string): MoveError {
  const lines = criuErrorLines(log);
  const verb = action === 'dump' ? 'could not be checkpointed' : 'could not be restored';
  for (const line of lines) {
    const cause = causes.find((candidate) => candidate.pattern.test(line));
    if (cause) {
      return new MoveError(cause.code, `The pod ${pod} ${verb}: ${cause.sentence}.`, {
        pod,
        log: lines.slice(0, 8),
      });
    }
  }
  const first = lines[0] ?? 'criu gave no reason';
  return new MoveError(
    action === 'dump' ? 'CHECKPOINT_DUMP_FAILED' : 'CHECKPOINT_RESTORE_FAILED',
    `The pod ${pod} ${verb}: ${first}.`,
    { pod, log: lines.slice(0, 8) },
  );
}
