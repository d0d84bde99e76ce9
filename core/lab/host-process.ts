import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { MoveError } from '../runtime/errors.ts';
import { emptyFreezer, resourceTrees } from './freezer.ts';
import { type FreezerTree, hostFstab, labRun } from './host-root.ts';
import { cutLinks, resetHostNetwork } from './network.ts';
import type { HostPlan, LabPlan } from './plan.ts';
import { stoneSocket } from './ssh-files.ts';

/**
 * All hosts share this machine's processors, which real ones do not: those that stand for attackers must
 * not take from the others what no flood could.
 */
const niceness = { site: -15, stone: -10, admin: -10, overlay: -5, client: 0, bot: 10 } as const;

/** One host of the lab: its processes, and the power switch that ends and starts them. */
export class HostProcess {
  readonly plan: HostPlan;
  readonly #lab: LabPlan;
  readonly #freezer: FreezerTree;
  readonly #onEnd: (host: HostProcess) => void;
  #outer: ChildProcess | null = null;
  #ended: Promise<void> = Promise.resolve();
  /** Links that somebody cut by hand; they stay cut over a power cycle. */
  readonly cut = new Set<string>();

  constructor(plan: HostPlan, lab: LabPlan, freezer: FreezerTree, onEnd: (host: HostProcess) => void) {
    this.plan = plan;
    this.#lab = lab;
    this.#freezer = freezer;
    this.#onEnd = onEnd;
    const own = path.join(labRun, 'hosts', plan.name);
    for (const name of ['state', 'srv']) mkdirSync(path.join(own, name), { recursive: true, mode: 0o755 });
    mkdirSync(path.join(own, 'root'), { recursive: true, mode: 0o700 });
    for (const { directory } of [freezer, ...resourceTrees(freezer)])
      mkdirSync(path.join(directory, plan.name), { recursive: true });
    writeFileSync(path.join(own, 'fstab'), hostFstab(plan.name, freezer, resourceTrees(freezer)));
  }

  get on(): boolean {
    return this.#outer !== null;
  }

  /** The directory of this host's processes in the freezer's tree. */
  get cgroup(): string {
    return path.join(this.#freezer.directory, this.plan.name);
  }

  /** Starts the host's first process in namespaces of its own, inside its cgroup. */
  start(): void {
    const name = this.plan.name;
    const log = openSync(path.join(labRun, 'hosts', name, 'log'), 'a');
    const enter = [
      `echo $$ > ${this.cgroup}/cgroup.procs`,
      `exec nice -n ${niceness[this.plan.role]} nsenter --net=/run/netns/${name} unshare --mount --pid --uts --ipc --fork --kill-child --propagation slave sh ${labRun}/enter ${name}`,
    ];
    const child = spawn('sh', ['-c', enter.join('\n')], { stdio: ['ignore', log, log] });
    closeSync(log);
    this.#outer = child;
    this.#ended = new Promise((resolve) => {
      const end = () => {
        if (this.#outer === child) {
          this.#outer = null;
          this.#onEnd(this);
        }
        resolve();
      };
      child.once('exit', end);
      child.once('error', end);
    });
  }

  /**
   * Switches the host off as if its plug were pulled: first its links fall silent, then its processes,
   * frozen ones too, are killed. What lies in /var/lib/move stays.
   */
  async powerOff(): Promise<void> {
    for (const port of this.plan.ports) await cutLinks(port.router, [port.routerInterface], true);
    this.#outer?.kill('SIGKILL');
    await emptyFreezer(this.cgroup, 10_000);
    await this.#ended;
  }

  /** Boots a host that is off, with its durable state and nothing else of its former life. */
  async powerOn(): Promise<void> {
    if (this.on) return;
    const netns = this.#lab.netns.get(this.plan.name);
    if (netns) await resetHostNetwork(netns);
    this.start();
    for (const port of this.plan.ports) {
      if (!this.cut.has(port.link)) await cutLinks(port.router, [port.routerInterface], false);
    }
    await this.waitReady(performance.now() + 10_000);
  }

  /**
   * Resolves when the host's sshd listens (and a stone's held-open connection has reached `admin`).
   * @throws MoveError `HOST_NOT_READY` at `deadline` (monotonic milliseconds), with the end of its log.
   */
  async waitReady(deadline: number, admin?: HostProcess): Promise<void> {
    for (;;) {
      if (this.on && (await this.#listens()) && (!admin || (await admin.#hasSocket(this.plan.name)))) return;
      if (performance.now() > deadline) {
        const log = await readFile(path.join(labRun, 'hosts', this.plan.name, 'log'), 'utf8').catch(() => '');
        throw new MoveError('HOST_NOT_READY', `The lab host ${this.plan.name} did not start.`, {
          log: log.slice(-1500),
        });
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async #listens(): Promise<boolean> {
    const table = await readFile(`/proc/${this.#outer?.pid}/net/tcp`, 'utf8').catch(() => '');
    // local port 22 (hexadecimal 0016) in state LISTEN (0A)
    return /:0016 00000000:0000 0A/.test(table);
  }

  async #hasSocket(stone: string): Promise<boolean> {
    const parent = this.#outer?.pid;
    if (!parent) return false;
    const first = (await readFile(`/proc/${parent}/task/${parent}/children`, 'utf8').catch(() => '')).trim();
    return stat(`/proc/${first}/root${stoneSocket(stone)}`).then(
      (found) => found.isSocket(),
      () => false,
    );
  }
}
