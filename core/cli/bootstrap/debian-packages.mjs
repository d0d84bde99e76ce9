import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { mustRun, runLoud } from './run.mjs';

/**
 * Debian packages beyond a minimal Debian 12 with Node 20, and what for: those that the product itself uses, those
 * that only its tests use, and those that its benches compare with.
 * @typedef {'packages' | 'test-packages' | 'bench-packages'} PackageGroup
 * @type {Record<PackageGroup, {name: string, why: string}[]>}
 */
export const debianPackages = {
  packages: [
    { name: 'openssh-server', why: 'every host of the lab is reached by SSH' },
    { name: 'openssh-client', why: 'the stepping stones dial out with it' },
    { name: 'iproute2', why: 'makes the network namespaces, links and queues of the lab' },
    { name: 'nftables', why: 'the rules of the ISPs, and the fence around a pod while it moves' },
    { name: 'ethtool', why: 'switches offloads off, so that a flood hurts as a real one does' },
    { name: 'hping3', why: 'sends the SYN and ICMP floods of drills inside the lab' },
    { name: 'tini', why: 'the first process of every lab host, which reaps the others' },
    { name: 'socat', why: 'joins the sockets that SSH travels through' },
    { name: 'sshfs', why: 'the lifeline to the storage that stays behind' },
    { name: 'fuse3', why: 'mounts the lifeline' },
    { name: 'mmdebstrap', why: 'builds the base image of the pods' },
    { name: 'debian-archive-keyring', why: 'checks the signatures of what is installed' },
    { name: 'gcc', why: 'compiles the small native helpers' },
    { name: 'libc6-dev', why: 'the headers for the native helpers' },
    { name: 'procps', why: 'lists processes in tests' },
    { name: 'curl', why: 'asks the sample service in tests' },
    { name: 'openssl', why: 'checks certificates from outside in tests' },
    { name: 'chromium', why: 'shows the console where Electron is absent, and runs the browser tests' },
    { name: 'xvfb', why: 'a display for browser tests on machines without one' },
  ],
  'test-packages': [
    { name: 'libnss3-tools', why: 'asks what Firefox and Chromium think of a client certificate in tests' },
    { name: 'tesseract-ocr', why: 'tries to read the images of the human test in tests and its bench' },
    { name: 'tigervnc-viewer', why: 'looks at the sample desktop across a move in tests' },
    { name: 'xdotool', why: 'types into that viewer in tests' },
    { name: 'iputils-ping', why: 'measures round trips between the hosts of a lab in tests' },
    { name: 'apache2-utils', why: 'makes an honest surge of requests in tests' },
    { name: 'libfaketime', why: 'sets the clock of the controller wrong in chaos runs' },
  ],
  'bench-packages': [
    { name: 'haproxy', why: 'the path through the overlay is measured beside a chain of it' },
    { name: 'runc', why: 'the pod runtime and the moves are measured beside a checkpoint and restore by it' },
    { name: 'apache2-bin', why: 'the origin that the measured paths lead to' },
    { name: 'zstd', why: 'packs the checkpoints of those moves' },
  ],
};

/** Which packages of a group are not installed; one question to dpkg. */
export function missingDebianPackages(/** @type {PackageGroup} */ group) {
  const packages = debianPackages[group];
  const answer = spawnSync(
    'dpkg-query',
    [
      '--show',
      '--showformat',
      // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query fills these in
      '${Package} ${db:Status-Status}\\n',
      ...packages.map(({ name }) => name),
    ],
    { encoding: 'utf8', timeout: 20_000 },
  );
  if (answer.error) return packages;
  const installed = new Set(
    answer.stdout.split('\n').flatMap((line) => (line.endsWith(' installed') ? [line.split(' ')[0]] : [])),
  );
  return packages.filter(({ name }) => !installed.has(name));
}

/** Installs `names` with apt, without recommended extras and without starting any service. */
export async function installDebianPackages(/** @type {string[]} */ names) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await mustRun('apt-get', ['update', '-qq'], { timeoutMs: 300_000, env });
  await withServicesHeldBack(() =>
    mustRun('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...names], {
      timeoutMs: 1_200_000,
      env,
    }),
  );
  // the lab runs sshd inside its own hosts; the workstation itself need not be reachable
  if (names.includes('openssh-server') && fs.existsSync('/run/systemd/system')) {
    await runLoud('systemctl', ['disable', 'ssh.service'], { timeoutMs: 60_000, quiet: true });
  }
}

/** An sshd that starts by itself on the workstation would be a surprise: policy-rc.d says no meanwhile. */
async function withServicesHeldBack(/** @type {() => Promise<void>} */ install) {
  const policy = '/usr/sbin/policy-rc.d';
  const ours = !fs.existsSync(policy);
  if (ours) fs.writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    await install();
  } finally {
    if (ours) fs.rmSync(policy, { force: true });
  }
}
