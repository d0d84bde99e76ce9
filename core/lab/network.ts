import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MoveError } from '../runtime/errors.ts';
import { runChecked, runProgram } from '../runtime/process.ts';
import { labRun } from './host-root.ts';
import { consoleLink, type DelayKind, type LabPlan, type NetnsPlan, type WirePlan } from './plan.ts';

/** Which way delays are made here: netem where the kernel has it, tried on a link made for that. */
export async function detectDelay(): Promise<DelayKind> {
  const probe = 'netem-probe';
  await runChecked('ip', ['link', 'add', probe, 'type', 'veth', 'peer', 'name', `${probe}2`], {
    timeoutMs: 5_000,
  });
  try {
    const tried = await runProgram('tc', ['qdisc', 'add', 'dev', probe, 'root', 'netem', 'delay', '1ms'], {
      timeoutMs: 5_000,
    });
    return tried.code === 0 ? 'netem' : 'delayd';
  } finally {
    await runProgram('ip', ['link', 'del', probe], { timeoutMs: 5_000 });
  }
}

/**
 * Makes every namespace, link, address, route, queue and rule of a plan in the calling process's own
 * mount and network namespaces.
 * @throws MoveError `PROGRAM_FAILED` with the line that ip, tc or nft refused.
 */
export async function buildNetwork(plan: LabPlan): Promise<void> {
  const options = { timeoutMs: 20_000 };
  await runChecked('ip', ['-batch', '-'], { ...options, input: plan.links.join('\n') });
  await mkdir(path.join(labRun, 'net'), { recursive: true });
  const waiting = [...plan.netns.values()];
  const worker = async () => {
    for (let netns = waiting.pop(); netns; netns = waiting.pop()) await configure(netns);
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
  await runChecked('ip', ['-batch', '-'], {
    ...options,
    input: `link set lo up\naddr add ${consoleLink.lab}/30 dev ${consoleLink.interface}\nlink set dev ${consoleLink.interface} up`,
  });
}

/** One shell in the namespace does everything: starting programs is what takes the time here. */
async function configure(netns: NetnsPlan): Promise<void> {
  const file = path.join(labRun, 'net', netns.name);
  await writeFile(`${file}.ip`, `${netns.ip.join('\n')}\n`);
  const script = [
    'set -e',
    'cd /proc/sys/net',
    'for i in all default; do echo 1 > ipv6/conf/$i/disable_ipv6; echo 0 > ipv4/conf/$i/rp_filter; done',
    `echo ${netns.router ? 1 : 0} > ipv4/ip_forward`,
    'echo reno > ipv4/tcp_congestion_control',
    'echo "0 2147483647" > ipv4/ping_group_range',
    'cd /',
  ];
  if (netns.plainInterfaces.length > 0) {
    script.push(
      `for i in ${netns.plainInterfaces.join(' ')}; do ethtool -K $i tso off gso off gro off; done`,
    );
  }
  script.push(`ip -batch ${file}.ip`);
  if (netns.tc.length > 0) {
    await writeFile(`${file}.tc`, `${netns.tc.join('\n')}\n`);
    script.push(`tc -batch ${file}.tc`);
  }
  if (netns.nft.length > 0) {
    await writeFile(`${file}.nft`, `${netns.nft.join('\n')}\n`);
    script.push(`nft -f ${file}.nft`);
  }
  await runChecked('nsenter', [`--net=/run/netns/${netns.name}`, 'sh', '-c', script.join('\n')], {
    timeoutMs: 20_000,
  });
}

/**
 * Puts a host's namespace back to what the plan says: whatever its programs added (links, addresses,
 * rules) goes, as it would on a machine that was switched off.
 */
export async function resetHostNetwork(netns: NetnsPlan): Promise<void> {
  const keep = ['lo', consoleLink.interface, ...netns.plainInterfaces];
  const script = `set -e
nft flush ruleset
for path in /sys/class/net/*; do
  link=\${path##*/}
  case " ${keep.join(' ')} " in *" $link "*) ;; *) ip link del "$link" 2>/dev/null || true ;; esac
done
for link in ${keep.filter((name) => name !== 'lo').join(' ')}; do
  [ ! -e /sys/class/net/$link ] || { ip addr flush dev $link; ip route flush dev $link; tc qdisc del dev $link root 2>/dev/null || true; }
done
`;
  // the caller's /sys shows the caller's links: mount one that belongs to the namespace
  await runChecked(
    'nsenter',
    [
      `--net=/run/netns/${netns.name}`,
      'unshare',
      '--mount',
      'sh',
      '-c',
      `mount -t sysfs sysfs /sys\n${script}`,
    ],
    { timeoutMs: 20_000 },
  );
  await configure(netns);
}

/**
 * Starts delayd on all long wires and waits until it has them open.
 * @throws MoveError `DELAYD_FAILED` when it does not get ready within 5 seconds.
 */
export async function startDelayd(program: string, wires: readonly WirePlan[]): Promise<ChildProcess> {
  const child = spawn(
    'nice',
    [
      // A wire is as fast as light, whatever else the processors do.
      ...['-n', '-15', 'nsenter'],
      '--net=/run/netns/wire',
      program,
      ...wires.map(({ left, right, delayUs }) => `${left}:${right}:${delayUs}`),
    ],
    { stdio: ['pipe', 'pipe', 'pipe'] },
  );
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString('utf8')).slice(-2000);
  });
  await new Promise<void>((resolve, reject) => {
    const refuse = () => {
      clearTimeout(timer);
      child.kill('SIGKILL');
      reject(
        new MoveError('DELAYD_FAILED', 'The program that makes long wires did not start.', { complaint }),
      );
    };
    const timer = setTimeout(refuse, 5_000);
    child.on('error', refuse);
    child.once('exit', refuse);
    child.stdout.once('data', () => {
      clearTimeout(timer);
      child.off('exit', refuse);
      resolve();
    });
  });
  return child;
}

/** The inode of a namespace: what `stat -L /proc/self/ns/net` says inside of it. */
export async function netnsInode(name: string): Promise<number> {
  return (await stat(`/run/netns/${name}`)).ino;
}

/** Adds or removes router-side interfaces in the set of cut links; traffic on them vanishes silently. */
export async function cutLinks(router: string, interfaces: readonly string[], cut: boolean): Promise<void> {
  const verb = cut ? 'add' : 'delete';
  for (const name of interfaces) {
    const line = `${verb} element inet lab cut { "${name}" }`;
    const result = await runProgram('nsenter', [`--net=/run/netns/${router}`, 'nft', line], {
      timeoutMs: 5_000,
    });
    // nft refuses to delete what is not there, which is what was asked for
    if (result.code !== 0 && (cut || !result.stderr.includes('No such file'))) {
      throw new MoveError('LINK_CHANGE_FAILED', `The link at ${name} could not be changed.`, {
        stderr: result.stderr,
      });
    }
  }
}
