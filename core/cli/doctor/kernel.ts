import { accessSync, constants, existsSync } from 'node:fs';
import path from 'node:path';
import { cacheDirectory } from '../../lab/paths.ts';
import { runProgram } from '../../runtime/process.ts';
import { degraded, missing, ok, type Requirement } from './requirement.ts';

const otherKernel = 'Use a kernel that has it: Debian 12 kernels do.';
const limitMs = 10_000;

/**
 * Tries the kernel's features for real, each in namespaces of its own that end with the trial.
 * Without root all but the freezer are reported as missing with that reason.
 */
export async function kernelRequirements(): Promise<Requirement[]> {
  if (process.getuid?.() !== 0) {
    return [
      missing(
        'root',
        'The lab needs root for namespaces, and this is not root.',
        'Run the doctor with sudo to try the kernel.',
      ),
      freezer(),
    ];
  }
  const trials: [string, string, string][] = [
    ['namespaces', 'mount, process, network, host name and IPC namespaces', 'true'],
    ['veth', 'pairs of virtual interfaces', 'ip link add d0 type veth peer name d1'],
    [
      'nftables',
      'packet rules',
      'nft add table inet d && nft add chain inet d c "{ type filter hook forward priority 0; }"',
    ],
    [
      'conntrack',
      'connection tracking',
      'nft add table inet d && nft add chain inet d c && nft add rule inet d c ct state new drop',
    ],
    [
      'htb',
      'links of limited rate',
      'ip link add d0 type veth peer name d1 && tc qdisc add dev d0 root handle 1: htb default 1',
    ],
    [
      'overlayfs',
      'layered file systems',
      'mount -t tmpfs t /mnt && mkdir /mnt/l /mnt/u /mnt/w /mnt/m && mount -t overlay o -o lowerdir=/mnt/l,upperdir=/mnt/u,workdir=/mnt/w,index=on,nfs_export=on /mnt/m',
    ],
    [
      'socket-destroy',
      'closing sockets from outside (inet_diag destroy)',
      'ip link set lo up; nc -l 127.0.0.1 7 & for i in $(seq 200); do ss -Hltn sport = :7 | grep -q . && break; sleep 0.01; done; ss -K -ltn sport = :7 >/dev/null; for i in $(seq 100); do ss -Hltn sport = :7 | grep -q . || exit 0; sleep 0.01; done; echo the socket stays >&2; exit 1',
    ],
  ];
  const tried = await Promise.all(
    trials.map(async ([id, what, script]) => {
      const result = await inNamespaces(script);
      return result.code === 0
        ? ok(id, `The kernel has ${what}.`)
        : missing(id, `The kernel lacks ${what}: ${lastLine(result.stderr)}`, otherKernel);
    }),
  );
  return [...tried, freezer(), fuse(), await longWires()];
}

function inNamespaces(script: string) {
  return runProgram(
    'unshare',
    [
      '--mount',
      '--pid',
      '--net',
      '--uts',
      '--ipc',
      '--fork',
      '--kill-child',
      '--mount-proc',
      'sh',
      '-c',
      script,
    ],
    { timeoutMs: limitMs },
  );
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) || 'no reason given';
}

function freezer(): Requirement {
  if (existsSync('/sys/fs/cgroup/freezer/cgroup.procs'))
    return ok('freezer', 'The freezer is there (cgroup version 1).');
  if (existsSync('/sys/fs/cgroup/cgroup.controllers'))
    return ok('freezer', 'The freezer is there (cgroup version 2).');
  return missing(
    'freezer',
    'No freezer cgroup is mounted below /sys/fs/cgroup.',
    'Mount cgroup2 on /sys/fs/cgroup.',
  );
}

function fuse(): Requirement {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return ok('fuse', 'File systems in user space work; lifelines need them.');
  } catch {
    return missing(
      'fuse',
      '/dev/fuse cannot be opened; lifelines need it.',
      'Load the kernel module: modprobe fuse.',
    );
  }
}

async function longWires(): Promise<Requirement> {
  const netem = await inNamespaces(
    'ip link add d0 type veth peer name d1 && tc qdisc add dev d0 root netem delay 1ms',
  );
  if (netem.code === 0) return ok('long-wires', 'The kernel makes long wires itself (netem).');
  if (existsSync(path.join(cacheDirectory(), 'native/delayd'))) {
    return ok('long-wires', 'The kernel has no netem; the lab makes long wires with its own delayd.');
  }
  return degraded(
    'long-wires',
    'The kernel has no netem, and delayd is not compiled.',
    'Run "npm start" once: it compiles it.',
  );
}
