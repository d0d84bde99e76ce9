import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { cacheDirectory } from '../../lab/paths.ts';
import { runProgram } from '../../runtime/process.ts';
import { missing, ok, type Requirement } from './requirement.ts';

/**
 * What is carried: a listener on TCP port 7 of a network namespace of its own, in a session of its own,
 * with no stream of ours. It is frozen into files, must be gone, is woken from the files, must listen again.
 */
const trial = `
set -e
ip link set lo up
listens() { ss -Hltn "sport = :7" | grep -q .; }
until_listens() { i=0; until listens; do i=$((i+1)); [ $i -lt 300 ] || { echo "$1" >&2; exit 1; }; sleep 0.01; done; }
setsid nc -l -k 127.0.0.1 7 < /dev/null > /dev/null 2>&1 &
pid=$!
until_listens "the listener did not start"
"$CRIU" dump -t $pid -D "$IMAGES" -o dump.log --shell-job --network-lock skip
if listens; then echo "the listener was not gone after the dump" >&2; exit 1; fi
"$CRIU" restore -D "$IMAGES" -o restore.log --restore-detached --shell-job --network-lock skip
until_listens "nothing listened after the restore"
`;

/**
 * Dumps and restores a real TCP listener with the private criu, in namespaces that end with the trial,
 * within 20 seconds. `criu check` alone is no proof: it is content where dumps fail.
 */
export async function criuRequirement(): Promise<Requirement> {
  const home = path.join(cacheDirectory(), 'criu');
  const criu = path.join(home, 'bin/criu');
  const again = `Remove ${home} and run "npm start": it is installed anew.`;
  if (!existsSync(criu))
    return missing('criu', `criu is not in ${home}.`, 'Run "npm start" and let it install criu.');
  if (process.getuid?.() !== 0) {
    return missing('criu', 'criu can only be tried as root.', 'Run the doctor with sudo.');
  }
  const version = (await readFile(path.join(home, 'VERSION'), 'utf8').catch(() => 'unknown')).trim();
  const images = await mkdtemp(path.join(os.tmpdir(), 'move-doctor-'));
  try {
    const shim = path.join(cacheDirectory(), 'native/norlimit-shim.so');
    const started = performance.now();
    const result = await runProgram(
      'unshare',
      [
        '--mount',
        '--pid',
        '--net',
        '--ipc',
        '--uts',
        '--fork',
        '--kill-child',
        '--mount-proc',
        'sh',
        '-c',
        trial,
      ],
      {
        timeoutMs: 20_000,
        env: {
          ...process.env,
          CRIU: criu,
          IMAGES: images,
          ...(existsSync(shim) ? { NORLIMIT_SHIM: shim } : {}),
        },
      },
    );
    const tookMs = Math.round(performance.now() - started);
    if (result.code === 0)
      return ok('criu', `criu ${version} froze a TCP listener and woke it again in ${tookMs} ms.`);
    const fault = (await firstFault(images)) ?? result.stderr.trim().split('\n').at(-1) ?? '';
    const why = result.timedOut ? 'it took more than 20 s' : fault;
    return missing('criu', `criu ${version} could not dump and restore a TCP listener: ${why}`, again);
  } finally {
    await rm(images, { recursive: true, force: true });
  }
}

async function firstFault(images: string): Promise<string | undefined> {
  for (const name of ['dump.log', 'restore.log']) {
    const text = await readFile(path.join(images, name), 'utf8').catch(() => '');
    const line = text.split('\n').find((each) => each.includes('Error'));
    if (line) return line;
  }
  return undefined;
}
