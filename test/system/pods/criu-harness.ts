import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CriuPodRuntime } from '../../../core/pods/criu-pod-runtime.ts';
import { type PodRuntimeConfig, podPaths } from '../../../core/pods/pod-paths.ts';
import { apacheCommand } from '../../../core/pods/pod-spec.ts';
import type { PodSpec } from '../../../core/pods/port.ts';
import {
  buildNative,
  gatewayObstacle,
  makeDirectory,
  removeDirectory,
} from '../../compliance/pod-runtime/gateway-fixture.ts';
import type { DirectDownload, PodRuntimeHarness, Site } from '../../compliance/pod-runtime/suite.ts';

/* Where an installation keeps criu and images: named by the set-up, else the usual places. */
const softwareHomes = [process.env.MOVE_SOFTWARE, '/opt/move', '/var/cache/move-console'].filter(
  (path): path is string => path !== undefined,
);
const criuHome = softwareHomes
  .map((home) => join(home, 'criu'))
  .find((path) => existsSync(join(path, 'usr/sbin/criu')));
const imagesDir = softwareHomes
  .map((home) => join(home, 'images'))
  .find((path) => existsSync(join(path, 'apache/usr/sbin/apache2')));
const freezers = ['/sys/fs/cgroup/freezer', '/sys/fs/cgroup/unified', '/sys/fs/cgroup'].filter((path) =>
  existsSync(join(path, path.endsWith('freezer') ? 'cgroup.procs' : 'cgroup.controllers')),
);

export const spec: PodSpec = {
  id: 'shop',
  service: 'shop.example',
  image: 'apache',
  command: apacheCommand,
  ports: [80],
  storage: [{ mountPoint: '/var/www/html', name: 'docroot' }],
  hostname: 'shop',
  probe: { kind: 'http', path: '/index.html', port: 80 },
};

/** Why pods cannot run on this machine, or undefined. */
export function podObstacle(): string | undefined {
  if (gatewayObstacle()) return gatewayObstacle();
  if (process.getuid?.() !== 0) return 'pods need root';
  if (!criuHome) return 'no private criu extraction was found';
  if (!imagesDir) return 'no apache image was found';
  if (freezers.length === 0) return 'no control group that can freeze is mounted';
  for (const program of ['nft', 'ip', 'nsenter', 'unshare', 'tar', 'curl', 'socat', 'tc']) {
    if (spawnSync('which', [program]).status !== 0) return `${program} is missing`;
  }
  return undefined;
}

function inNamespace(path: string, command: string[], input?: string): string {
  return execFileSync('nsenter', [`--net=${path}`, ...command], { input, encoding: 'utf8', stdio: 'pipe' });
}

function makeNamespace(path: string): void {
  writeFileSync(path, '');
  execFileSync('unshare', [`--net=${path}`, 'true']);
  inNamespace(path, ['ip', 'link', 'set', 'lo', 'up']);
}

function removeNamespace(path: string): void {
  spawnSync('umount', ['-l', path]);
  rmSync(path, { force: true });
}

/** Two hosting sites on this machine, each a host network of its own with one direct user behind it. */
export async function openCriuHarness(): Promise<PodRuntimeHarness & { config: PodRuntimeConfig }> {
  const disk = makeDirectory();
  const memoryBase = statfsSync('/dev/shm').type === 0x01021994 ? '/dev/shm' : disk;
  const memory = join(memoryBase, `move-pods-${process.pid}-${Date.now()}`);
  mkdirSync(memory, { recursive: true });
  const native = buildNative(disk);
  const user = join(memory, 'user.net');
  makeNamespace(user);
  const closers: (() => Promise<void>)[] = [];

  const configs: PodRuntimeConfig[] = [];
  const openSite = (index: number): Site => {
    const name = `site-${index}`;
    const host = join(memory, `${name}.net`);
    const docroot = join(disk, name, 'docroot');
    mkdirSync(docroot, { recursive: true });
    makeNamespace(host);
    const address = `10.77.${index}.1`;
    inNamespace(
      host,
      ['ip', '-batch', '-'],
      [
        `link add up0 type veth peer name user${index} netns ${user}`,
        `addr add ${address}/24 dev up0`,
        'link set up0 up',
        '',
      ].join('\n'),
    );
    inNamespace(
      user,
      ['ip', '-batch', '-'],
      [`addr add 10.77.${index}.2/24 dev user${index}`, `link set user${index} up`, ''].join('\n'),
    );
    const group = join(freezers[index % freezers.length]!, `move-test-${process.pid}-${index}`);
    const config: PodRuntimeConfig = {
      stateDir: join(disk, name, 'state'),
      runDir: join(memory, name),
      imagesDir: imagesDir!,
      criuHome: criuHome!,
      ...native,
      cgroupRoot: group,
      hostNetworkNamespace: host,
    };
    configs.push(config);
    const runtime = new CriuPodRuntime(config);
    closers.push(async () => {
      for (const id of [spec.id, 'hostile']) await runtime.discard(id);
      await runtime.close();
      // The same place in every hierarchy; those that were not made are no loss.
      const place = group.split('/').at(-1)!;
      const others = ['memory', 'pids', 'cpu', 'cpuacct'].map((name) => `/sys/fs/cgroup/${name}/${place}`);
      spawnSync('rmdir', ['--ignore-fail-on-non-empty', group, ...others.filter((each) => existsSync(each))]);
      removeNamespace(host);
    });
    return {
      runtime,
      storage: { docroot },
      reopen: () => new CriuPodRuntime(config),
      packetsFromPod: (id) => {
        const link = podPaths(config, id).link;
        const [shown] = JSON.parse(inNamespace(host, ['ip', '-s', '-j', 'link', 'show', link])) as {
          stats64: { rx: { packets: number } };
        }[];
        return shown!.stats64.rx.packets;
      },
      address,
      get: (path) => {
        const run = spawnSync(
          'nsenter',
          [`--net=${user}`, 'curl', '-s', '-m', '1', '-w', '\n%{http_code}', `http://${address}${path}`],
          { encoding: 'utf8' },
        );
        const [, body, status] = /^([\s\S]*)\n(\d+)$/.exec(run.stdout) ?? ['', '', '0'];
        return { status: Number(status), body: body! };
      },
      download: (path, bytesPerSecond): DirectDownload => {
        const target = join(disk, `download-${index}-${Math.random().toString(36).slice(2)}`);
        closeSync(openSync(target, 'w'));
        const child = spawn(
          'nsenter',
          [
            `--net=${user}`,
            'curl',
            '-s',
            '--no-buffer',
            '-m',
            '60',
            '--limit-rate',
            String(bytesPerSecond),
            '-o',
            target,
            `http://${address}${path}`,
          ],
          { stdio: 'ignore' },
        );
        let ended: number | undefined;
        child.once('exit', (code) => {
          ended = code ?? -1;
        });
        closers.unshift(async () => {
          child.kill('SIGKILL');
        });
        return {
          received: () => statSync(target).size,
          ended: () => ended,
          stop: () => child.kill('SIGKILL'),
        };
      },
      outside: `10.77.${index}.2`,
      listenOutside: async (port) => {
        const socket = `TCP-LISTEN:${port},bind=10.77.${index}.2,reuseaddr,fork`;
        const child = spawn('nsenter', [`--net=${user}`, 'socat', socket, 'PIPE'], { stdio: 'ignore' });
        closers.unshift(async () => {
          child.kill('SIGTERM');
        });
        const listens = () => inNamespace(user, ['ss', '-Htln', `src 10.77.${index}.2 and sport = :${port}`]);
        for (let tries = 0; listens() === ''; tries++) {
          if (tries > 200) throw new Error(`socat does not listen on port ${port}`);
          await delay(20);
        }
      },
      callOutFromPod: (id) => {
        spawnSync('nsenter', [
          `--net=${podPaths(config, id).networkNamespace}`,
          ...['curl', '-s', '-m', '1', '-o', '/dev/null', `http://${address}:9/`],
        ]);
      },
    };
  };

  const sites: [Site, Site] = [openSite(0), openSite(1)];
  return {
    sites,
    config: configs[0]!,
    spec,
    imageDir: join(memory, 'image'),
    putDocument: (name, bytes) => {
      for (const site of sites) writeFileSync(join(site.storage.docroot!, name), bytes);
    },
    close: async () => {
      for (const close of closers) await close();
      removeNamespace(user);
      removeDirectory(memory);
      removeDirectory(disk);
    },
  };
}
