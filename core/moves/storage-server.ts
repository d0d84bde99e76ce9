import { spawn } from 'node:child_process';
import { stat } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { MoveError } from '../runtime/errors.ts';

/**
 * Builds a root with nothing in it but the system's read-only programs and the one storage directory,
 * drops every capability and takes the owner's identity, then serves SFTP on standard input and output.
 */
const jail = `
set -eu
mount -t tmpfs -o size=64k,mode=0755,nosuid,nodev jail /mnt
mkdir /mnt/usr /mnt/storage /mnt/etc /mnt/dev
mount --bind /usr /mnt/usr
mount -o remount,bind,ro,nosuid /mnt/usr
for link in bin lib lib64; do [ -e "/$link" ] && ln -s "usr/$link" "/mnt/$link"; done
printf 'owner:x:%s:%s::/storage:/bin/false\\n' "$2" "$3" > /mnt/etc/passwd
: > /mnt/dev/null
mount --bind /dev/null /mnt/dev/null
mount --bind "$1" /mnt/storage
exec chroot /mnt /usr/bin/setpriv --reuid "$2" --regid "$3" --clear-groups --no-new-privs \\
  --inh-caps=-all --bounding-set=-all /usr/lib/openssh/sftp-server -d /storage
`;

/**
 * Serves one storage directory by SFTP over a byte stream until the stream ends: the storage's end of a
 * lifeline (MOVE section 2.2.1). The program on it sees that directory alone. `onBytes` is told of every
 * piece that is read from or written to the storage.
 * @throws MoveError `STORAGE_MISSING` when the directory is not there.
 */
export async function serveStorage(
  path: string,
  stream: Duplex,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const owner = await stat(path).catch((cause) => {
    throw new MoveError('STORAGE_MISSING', `The storage ${path} is not on this host.`, { path }, cause);
  });
  const server = spawn(
    'unshare',
    [
      '--mount',
      '--net',
      '--ipc',
      '--uts',
      '--pid',
      '--fork',
      '--kill-child',
      '--propagation',
      'private',
      '/bin/sh',
      '-c',
      jail,
      'storage',
      path,
      String(owner.uid),
      String(owner.gid),
    ],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  let errors = '';
  server.stderr.on('data', (chunk: Buffer) => {
    errors = (errors + chunk.toString('utf8')).slice(-2000);
  });
  const ended = new Promise<void>((resolve, reject) => {
    server.on('error', reject);
    server.on('close', (code, signal) => {
      stream.destroy();
      if (code === 0 || signal === 'SIGKILL') resolve();
      else
        reject(
          new MoveError(
            'STORAGE_SERVER_FAILED',
            `The storage's file server ended with ${code}: ${errors.trim()}`,
          ),
        );
    });
  });
  const count = (chunk: Buffer) => onBytes(chunk.length);
  stream.on('data', count);
  server.stdout.on('data', count);
  try {
    await Promise.race([
      Promise.allSettled([pipeline(stream, server.stdin), pipeline(server.stdout, stream)]),
      ended,
    ]);
  } finally {
    server.kill('SIGKILL');
  }
  await ended;
}
