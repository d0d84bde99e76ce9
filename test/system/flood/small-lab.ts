import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const SITE = '198.18.1.11';
const hosts = {
  site: { role: 'site', addresses: { primary: SITE } },
  'bot-1': { role: 'bot', addresses: { global: '198.18.66.1' } },
  'bot-2': { role: 'bot', addresses: { global: '198.18.66.2' } },
  'bot-3': { role: 'bot', addresses: { global: '198.18.66.3' } },
  'client-1': { role: 'client', addresses: { global: '198.18.100.1' } },
};
type HostName = keyof typeof hosts;

/** A program on a host: its lines as they come, its end, and its standard input, which keeps it alive. */
export interface HostProgram {
  lines: Record<string, unknown>[];
  seen(key: string): Promise<Record<string, unknown>>;
  ended: Promise<number | null>;
  release(): void;
  child: ChildProcess;
}

/** One site behind a 20 Mbit/s link, three bots and a client, in namespaces of this test's own. */
export class SmallLab {
  readonly siteAddress = SITE;
  readonly #prefix = `mvt${process.pid % 10_000}`;
  readonly #directory = mkdtempSync(join(tmpdir(), 'move-small-lab-'));
  readonly #children = new Set<ChildProcess>();

  constructor() {
    const names = ['router', ...Object.keys(hosts)];
    const lines = names.map((name) => `netns add ${this.#ns(name)}`);
    for (const name of Object.keys(hosts)) {
      const device = name === 'site' ? 'primary' : 'global';
      lines.push(
        `link add ${device} netns ${this.#ns(name)} type veth peer name ${name} netns ${this.#ns('router')}`,
      );
    }
    this.#ip(['-batch', '-'], lines);
    for (const [name, host] of Object.entries(hosts)) {
      const device = name === 'site' ? 'primary' : 'global';
      const address = Object.values(host.addresses)[0] as string;
      this.#ip(
        ['-n', this.#ns(name), '-batch', '-'],
        [
          'link set lo up',
          `link set ${device} up`,
          `addr add ${address}/32 dev ${device}`,
          `route add default via 169.254.1.1 dev ${device} onlink src ${address}`,
        ],
      );
      this.#ip(
        ['-n', this.#ns('router'), '-batch', '-'],
        [`link set ${name} up`, `addr add 169.254.1.1/32 dev ${name}`, `route add ${address}/32 dev ${name}`],
      );
      this.#sh(name, `ethtool -K ${device} tso off gso off gro off >/dev/null`);
      this.#sh('router', `ethtool -K ${name} tso off gso off gro off >/dev/null`);
    }
    const shape = (device: string) =>
      `tc qdisc replace dev ${device} root handle 1: htb default 1 && tc class replace dev ${device} parent 1: classid 1:1 htb rate 20mbit ceil 20mbit burst 3k cburst 3k quantum 1514 && tc qdisc replace dev ${device} parent 1:1 handle 10: pfifo limit 165`;
    this.#sh('router', `echo 1 >/proc/sys/net/ipv4/ip_forward && ${shape('site')}`);
    this.#sh('site', shape('primary'));
    const manifest = {
      labId: 'small',
      hosts: Object.fromEntries(
        Object.entries(hosts).map(([name, host]) => [
          name,
          { name, ...host, netnsInode: statSync(`/run/netns/${this.#ns(name)}`).ino },
        ]),
      ),
    };
    writeFileSync(join(this.#directory, 'lab.json'), JSON.stringify(manifest), { mode: 0o644 });
  }

  /** Starts a program of this directory on a host, with the lab's manifest where the guard looks for it. */
  start(host: HostName, program: string, args: readonly string[], options?: unknown): HostProgram {
    const script = `mount -t tmpfs -o mode=755 tmpfs /etc && mkdir /etc/move && cat "$1" >/etc/move/lab.json && shift && exec "$@"`;
    const child = spawn(
      'ip',
      [
        ...['netns', 'exec', this.#ns(host), 'unshare', '--mount', 'sh', '-c', script, 'sh'],
        ...[join(this.#directory, 'lab.json'), process.execPath, join(import.meta.dirname, program), ...args],
      ],
      { stdio: ['pipe', 'pipe', 'inherit'], env: { PATH: process.env.PATH } },
    );
    this.#children.add(child);
    child.stdin.on('error', () => undefined);
    if (options !== undefined) child.stdin.write(`${JSON.stringify(options)}\n`);
    const lines: Record<string, unknown>[] = [];
    const waiting: (() => void)[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(JSON.parse(line) as Record<string, unknown>);
      for (const wake of waiting.splice(0)) wake();
    });
    const ended = new Promise<number | null>((resolve) => {
      child.on('close', (code) => {
        this.#children.delete(child);
        resolve(code);
        for (const wake of waiting.splice(0)) wake();
      });
    });
    const seen = async (key: string): Promise<Record<string, unknown>> => {
      for (;;) {
        const line = lines.find((candidate) => key in candidate);
        if (line !== undefined) return line;
        if (child.exitCode !== null)
          throw new Error(`${program} ended without ${key}: ${JSON.stringify(lines.slice(-3))}`);
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    };
    return { lines, seen, ended, release: () => child.stdin.end(), child };
  }

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    const mine = readdirSync('/run/netns').filter((name) => name.startsWith(`${this.#prefix}-`));
    this.#ip(
      ['-batch', '-'],
      mine.map((name) => `netns del ${name}`),
    );
    rmSync(this.#directory, { recursive: true });
  }

  #ns(name: string): string {
    return `${this.#prefix}-${name}`;
  }

  #ip(args: string[], lines: string[]): void {
    execFileSync('ip', args, { input: `${lines.join('\n')}\n`, timeout: 10_000 });
  }

  #sh(name: string, script: string): void {
    execFileSync('ip', ['netns', 'exec', this.#ns(name), 'sh', '-c', script], { timeout: 10_000 });
  }
}
