import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { criuCommand } from '../../../core/pods/criu.ts';
import type { PodRuntimeConfig } from '../../../core/pods/pod-paths.ts';
import type { PodSpec } from '../../../core/pods/port.ts';

const limitMs = 20_000;
const containerPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** As in core/pods/native/confine.h. */
const capabilities = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL'].concat(
  'SETGID',
  'SETUID',
  'NET_BIND_SERVICE',
  'SYS_CHROOT',
);

/** What one carrying took, step by step, until the first right answer. */
export interface Carried {
  freezeMs: number;
  dumpMs: number;
  copyMs: number;
  restoreMs: number;
  answerMs: number;
  totalMs: number;
  bytes: number;
}

/** One site of stock runc: a root of its own over the same image, a network namespace, and a bundle. */
class RuncSite {
  readonly directory: string;
  readonly container: string;
  readonly namespace: string;
  readonly root: string;
  readonly upper: string;
  readonly settings: string;
  readonly #image: string;

  constructor(directory: string, name: string, image: string) {
    this.directory = join(directory, name);
    this.container = `move-bench-${process.pid}-${name}`;
    this.namespace = join(this.directory, 'net');
    this.root = join(this.directory, 'root');
    this.upper = join(this.directory, 'upper');
    this.settings = join(this.directory, 'criu.conf');
    this.#image = image;
    for (const each of ['root', 'upper', 'work', 'log'])
      mkdirSync(join(this.directory, each), { recursive: true });
    writeFileSync(this.namespace, '');
    run('unshare', [`--net=${this.namespace}`, 'true']);
    run('nsenter', [`--net=${this.namespace}`, 'ip', 'link', 'set', 'lo', 'up']);
  }

  mount(): void {
    const layers = `lowerdir=${this.#image},upperdir=${this.upper},workdir=${join(this.directory, 'work')},index=off,metacopy=off,redirect_dir=off,xino=off`;
    run('mount', ['-t', 'overlay', 'overlay', '-o', layers, this.root]);
  }

  writeBundle(spec: PodSpec, docroot: string): void {
    const namespaces = [
      ...['pid', 'ipc', 'uts', 'mount'].map((type) => ({ type })),
      { type: 'network', path: this.namespace },
    ];
    const held = capabilities.map((name) => `CAP_${name}`);
    const bundle = {
      ociVersion: '1.0.2',
      root: { path: this.root, readonly: false },
      hostname: spec.hostname,
      process: {
        terminal: false,
        user: { uid: 0, gid: 0 },
        args: spec.command,
        env: [`PATH=${containerPath}`, 'LANG=C.UTF-8'],
        cwd: '/',
        capabilities: { bounding: held, effective: held, permitted: held },
        noNewPrivileges: true,
      },
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
        {
          destination: '/dev',
          type: 'tmpfs',
          source: 'tmpfs',
          options: ['nosuid', 'mode=755', 'size=65536k'],
        },
        ...spec.storage.map(({ mountPoint }) => ({
          destination: mountPoint,
          type: 'bind',
          source: docroot,
          options: ['rbind', 'rw'],
        })),
      ],
      annotations: { 'org.criu.config': this.settings },
      linux: { cgroupsPath: `/${this.container}`, namespaces, resources: {} },
    };
    writeFileSync(join(this.directory, 'config.json'), JSON.stringify(bundle));
    // As here; by default criu would lock the network with iptables, which takes longer.
    writeFileSync(this.settings, 'network-lock skip\n');
  }

  close(): void {
    spawnSync('runc', ['kill', '--all', this.container, 'KILL'], { timeout: limitMs });
    spawnSync('runc', ['resume', this.container], { timeout: limitMs });
    spawnSync('runc', ['delete', '--force', this.container], { timeout: limitMs });
    spawnSync('umount', ['-l', this.root], { timeout: limitMs });
    spawnSync('umount', ['-l', this.namespace], { timeout: limitMs });
  }
}

/**
 * Starts the pod's service under stock runc, carries it to a second root and network once, and takes all of it down:
 * pause, checkpoint that leaves it paused, the writable layer by tar, restore, the first right answer. Without the
 * fence, the gateway and the connections that this product keeps.
 * @throws when runc or criu fail, with their last words.
 */
export async function carryByRunc(
  config: PodRuntimeConfig,
  spec: PodSpec,
  docroot: string,
): Promise<Carried> {
  const directory = join(config.runDir, 'runc');
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const program = join(directory, 'criu');
  writeFileSync(program, `#!/bin/sh\nexec ${criuCommand(config).join(' ')} "$@"\n`, { mode: 0o755 });
  const image = join(config.imagesDir, spec.image);
  const [from, to] = ['from', 'to'].map((name) => new RuncSite(directory, name, image)) as [
    RuncSite,
    RuncSite,
  ];
  const state = join(directory, 'state');
  try {
    mkdirSync(state);
    for (const site of [from, to]) site.writeBundle(spec, docroot);
    from.mount();
    runc(from, ['run', '--detach', '--bundle', from.directory, from.container]);
    await answered(from, spec);
    const began = performance.now();
    runc(from, ['pause', from.container]);
    const frozen = performance.now();
    const criu = ['--image-path', state, '--work-path', join(from.directory, 'log')];
    const sockets = ['--tcp-established', '--file-locks'];
    runc(from, ['checkpoint', ...criu, ...sockets, '--leave-running', from.container]);
    const dumped = performance.now();
    run('sh', ['-ec', 'tar -C "$1" -cf - . | tar -C "$2" -xpf -', 'sh', from.upper, to.upper]);
    to.mount();
    const copied = performance.now();
    const back = ['--image-path', state, '--work-path', join(to.directory, 'log')];
    runc(to, ['restore', '--detach', '--bundle', to.directory, ...back, ...sockets, to.container]);
    const restored = performance.now();
    await answered(to, spec);
    const end = performance.now();
    return {
      freezeMs: frozen - began,
      dumpMs: dumped - frozen,
      copyMs: copied - dumped,
      restoreMs: restored - copied,
      answerMs: end - restored,
      totalMs: end - began,
      bytes: Number(execFileSync('du', ['-sb', state], { encoding: 'utf8' }).split('\t')[0]),
    };
  } finally {
    for (const site of [to, from]) site.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

function runc(site: RuncSite, words: string[]): void {
  const [verb = ''] = words;
  const logs = join(site.directory, 'log');
  const done = spawnSync(
    'runc',
    ['--log', join(logs, 'runc.log'), '--criu', join(site.directory, '../criu'), ...words],
    {
      timeout: limitMs,
      stdio: ['ignore', 'ignore', 'ignore'],
    },
  );
  if (done.status === 0) return;
  const said = ['runc.log', 'dump.log', 'restore.log']
    .map((name) => join(logs, name))
    .filter((file) => existsSync(file))
    .map((file) => {
      const lines = readFileSync(file, 'utf8').trim().split('\n');
      return lines
        .filter((line) => /error/i.test(line))
        .slice(-4)
        .join('\n');
    });
  throw new Error(`runc ${verb} ended with ${done.status ?? done.signal}: ${said.join('\n').slice(-800)}`);
}

function run(program: string, words: string[]): void {
  execFileSync(program, words, { timeout: limitMs, stdio: ['ignore', 'ignore', 'pipe'] });
}

/** Waits for the service's first right answer, asked inside its network. */
async function answered(site: RuncSite, spec: PodSpec): Promise<void> {
  const deadline = performance.now() + limitMs;
  const url = `http://127.0.0.1:${spec.probe.port}${spec.probe.kind === 'http' ? spec.probe.path : '/'}`;
  for (;;) {
    const words = [`--net=${site.namespace}`, 'curl', '-s', '-m', '2', '-o', '/dev/null', '-f', url];
    if (spawnSync('nsenter', words, { timeout: limitMs }).status === 0) return;
    if (performance.now() > deadline) throw new Error(`nothing answers in ${site.container}`);
    await delay(2);
  }
}
