import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { runChecked, runProgram } from '../runtime/process.ts';
import type { PodPaths } from './pod-paths.ts';
import { serviceAddressOf, sourceAddressOf } from './pod-spec.ts';
import type { DialOut, PodSpec, PublishedPort } from './port.ts';

/** The host's end of every pod's link; a link-local address, the same everywhere. */
const hostLinkAddress = '169.254.100.1';
const limit = { timeoutMs: 10_000 };

/* A checkpoint walks the namespace's whole table of connections several times. By default that is the
 * machine's table, with 262144 slots where there is much memory: 50 ms. A namespace born from one with
 * this setting has a small one of its own; the one in between is gone at once, and the host's own
 * setting is not touched. Kernels before 6.1 know no such setting and are slower, no more. */
const namespaceScript = `
setting=/proc/sys/net/ipv4/tcp_child_ehash_entries
[ ! -e "$setting" ] || echo 1024 > "$setting"
exec unshare --net="$1" true
`;

/** A command line that runs in the host's network namespace. */
function inHost(namespace: string | undefined, command: string[]): [string, string[]] {
  const line = namespace === undefined ? command : ['nsenter', `--net=${namespace}`, ...command];
  return [line[0]!, line.slice(1)];
}

/**
 * Makes a pod's network namespace: the virtual address on `eth0`, the gateway's source address on the
 * loopback, a route to the host and nothing else. Everything that is left of an earlier one goes first.
 */
export async function makePodNetwork(
  spec: PodSpec,
  paths: PodPaths,
  hostNamespace: string | undefined,
): Promise<void> {
  await removePodNetwork(paths, hostNamespace);
  mkdirSync(dirname(paths.networkNamespace), { recursive: true });
  writeFileSync(paths.networkNamespace, '', { mode: 0o600 });
  const address = serviceAddressOf(spec);
  await runChecked(
    'unshare',
    ['--net', 'sh', '-e', '-c', namespaceScript, 'sh', paths.networkNamespace],
    limit,
  );
  await runChecked(...inHost(hostNamespace, ['ip', '-batch', '-']), {
    ...limit,
    input: [
      `link add ${paths.link} type veth peer name eth0 netns ${paths.networkNamespace}`,
      `addr add ${hostLinkAddress}/32 dev ${paths.link}`,
      `link set ${paths.link} up`,
      '',
    ].join('\n'),
  });
  const settings = ['ipv6/conf/all/disable_ipv6', 'ipv6/conf/default/disable_ipv6', 'ipv4/ip_nonlocal_bind'];
  const script = [
    `for key in ${settings.join(' ')}; do [ ! -e /proc/sys/net/$key ] || echo 1 > /proc/sys/net/$key; done`,
    'exec ip -batch -',
  ].join('\n');
  await runChecked('nsenter', [`--net=${paths.networkNamespace}`, 'sh', '-e', '-c', script], {
    ...limit,
    input: [
      'link set lo up',
      `addr add ${sourceAddressOf(spec)}/32 dev lo`,
      `addr add ${address}/32 dev eth0`,
      'link set eth0 up',
      `route add ${hostLinkAddress}/32 dev eth0 scope link src ${address}`,
      `route add default via ${hostLinkAddress} dev eth0 src ${address}`,
      '',
    ].join('\n'),
  });
  if (spec.limits?.sendMbit !== undefined) await limitSending(paths, spec.limits.sendMbit);
  if (spec.dialOut?.length) await letOut(spec, paths, hostNamespace, spec.dialOut);
}

/** A token bucket on the pod's end of the link: what is above the rate waits in the pod, 200 ms at most. */
async function limitSending(paths: PodPaths, mbit: number): Promise<void> {
  const burst = Math.max(32_768, Math.round((mbit * 1_000_000) / 8 / 100));
  const shape = ['tbf', 'rate', `${Math.round(mbit * 1000)}kbit`, 'burst', String(burst), 'latency', '200ms'];
  await runChecked(
    'nsenter',
    [`--net=${paths.networkNamespace}`, 'tc', 'qdisc', 'replace', 'dev', 'eth0', 'root', ...shape],
    limit,
  );
}

/** Lets connections that the pod opens to `dialOut` leave under the host's own address. */
async function letOut(
  spec: PodSpec,
  paths: PodPaths,
  hostNamespace: string | undefined,
  dialOut: readonly DialOut[],
): Promise<void> {
  const address = serviceAddressOf(spec);
  const table = `ip ${paths.dialTable}`;
  const rules = dialOut.map(
    (to) => `ip saddr ${address} ip daddr ${to.address} tcp dport ${to.port} masquerade; `,
  );
  await runChecked(...inHost(hostNamespace, ['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']), limit);
  await runChecked(
    ...inHost(hostNamespace, ['ip', 'route', 'replace', `${address}/32`, 'dev', paths.link]),
    limit,
  );
  await runChecked(...inHost(hostNamespace, ['nft', '-f', '-']), {
    ...limit,
    input: `table ${table} { }\ndelete table ${table}\ntable ${table} { chain leaving { type nat hook postrouting priority 100; ${rules.join('')}}; }\n`,
  });
}

/** Removes link and namespace; what is not there is fine. */
export async function removePodNetwork(paths: PodPaths, hostNamespace: string | undefined): Promise<void> {
  await runProgram(...inHost(hostNamespace, ['ip', 'link', 'del', paths.link]), limit);
  await runProgram(...inHost(hostNamespace, ['nft', 'delete', 'table', 'ip', paths.dialTable]), limit);
  if (!existsSync(paths.networkNamespace)) return;
  await runProgram('umount', ['-l', paths.networkNamespace], limit);
  rmSync(paths.networkNamespace, { force: true });
}

/**
 * Forwards `hostAddress:hostPort` to the pod by destination translation, and routes the pod's address
 * to its link. One published port per pod; publishing again replaces it.
 */
export async function publishPod(
  spec: PodSpec,
  paths: PodPaths,
  hostNamespace: string | undefined,
  port: PublishedPort,
): Promise<void> {
  const address = serviceAddressOf(spec);
  const table = `ip ${paths.publishTable}`;
  const target = `ip daddr ${port.hostAddress} tcp dport ${port.hostPort} dnat to ${address}:${port.podPort}`;
  await runChecked(...inHost(hostNamespace, ['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']), limit);
  await runChecked(
    ...inHost(hostNamespace, ['ip', 'route', 'replace', `${address}/32`, 'dev', paths.link]),
    limit,
  );
  await runChecked(...inHost(hostNamespace, ['nft', '-f', '-']), {
    ...limit,
    input: [
      `table ${table} { }`,
      `delete table ${table}`,
      `table ${table} {`,
      `  chain arriving { type nat hook prerouting priority -100; ${target}; }`,
      `  chain own { type nat hook output priority -100; ${target}; }`,
      '}',
      '',
    ].join('\n'),
  });
}

/** Takes the forwarded port back; none is fine. */
export async function unpublishPod(
  spec: PodSpec,
  paths: PodPaths,
  hostNamespace: string | undefined,
): Promise<void> {
  await runProgram(...inHost(hostNamespace, ['nft', 'delete', 'table', 'ip', paths.publishTable]), limit);
  if (spec.dialOut?.length) return; // its answers come in by the same route
  const route = ['ip', 'route', 'del', `${serviceAddressOf(spec)}/32`, 'dev', paths.link];
  await runProgram(...inHost(hostNamespace, route), limit);
}

/**
 * Ends every TCP connection of a pod whose other end is outside: it stays with the old address, so it is lost
 * in any case, and would hold one of the service's workers until some time-out. After a restore the fence
 * keeps the resets in. A kernel without INET_DIAG_DESTROY leaves them to time out, as it says in the limits.
 */
export async function dropOutsideConnections(spec: PodSpec, networkNamespace: string): Promise<void> {
  const inside = [serviceAddressOf(spec), sourceAddressOf(spec), '127.0.0.0/8'].map(
    (address) => `dst ${address}`,
  );
  await runProgram(
    'nsenter',
    [
      `--net=${networkNamespace}`,
      'ss',
      '--kill',
      '--tcp',
      '--numeric',
      '--no-header',
      'state',
      'connected',
      `not ( ${inside.join(' or ')} )`,
    ],
    { timeoutMs: 2_000 },
  );
}
