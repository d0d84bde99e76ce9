import { describe, expect, it } from 'vitest';
import { criuErrorLines, explainCriuFailure } from '../../../core/pods/criu-log.ts';

describe('explainCriuFailure', () => {
  it.each([
    ['Error (criu/files.c:1): unsupported fd io_uring', 'CHECKPOINT_IO_URING'],
    ['Error (criu/image.c:1): write failed: No space left on device', 'CHECKPOINT_DISK_FULL'],
    ["Error (criu/fsnotify.c:284): fsnotify: Can't dump that handle", 'CHECKPOINT_INOTIFY'],
    ['Error (criu/tty.c:1): tty: Found dangling tty with sid 9', 'CHECKPOINT_TERMINAL'],
    [
      "Error (criu/sk-inet.c:1032): inet: Can't bind inet socket (id 12): Cannot assign requested address",
      'CHECKPOINT_ADDRESS_MISSING',
    ],
    ["Error (criu/files.c:383): Can't statfs fd 37: Input/output error", 'CHECKPOINT_STORAGE_SILENT'],
    ['Error (criu/files-reg.c:2104): File var/log/x has bad size 12 (expect 13)', 'CHECKPOINT_FILE_CHANGED'],
    ['Error (criu/something.c:1): no idea', 'CHECKPOINT_DUMP_FAILED'],
  ])('%s -> %s', (line, code) => {
    const log = `(00.000100) Error (criu/x.c:9): prlimit: rlimit of 5\n(00.012345) ${line}\n(00.02) Error (criu/cr-dump.c:2): Dumping FAILED.\n`;
    const error = explainCriuFailure('dump', 'shop', log);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(/^The pod shop could not be checkpointed: .+\.$/);
    expect(error.details.log).toEqual([line]);
  });

  it('believes the first line that names a cause, and says something without any', () => {
    const log =
      '(0.1) Error (a.c:1): odd\n(0.2) Error (b.c:2): Unexpected EOF\n(0.3) Error (c.c:3): io_uring\n';
    expect(explainCriuFailure('restore', 'shop', log).code).toBe('CHECKPOINT_IMAGE_DAMAGED');
    expect(explainCriuFailure('restore', 'shop', '').code).toBe('CHECKPOINT_RESTORE_FAILED');
    expect(criuErrorLines('(0.1) all well\n')).toEqual([]);
  });
});
