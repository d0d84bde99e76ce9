import { chmodSync, chownSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { chmod, cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { runChecked } from '../runtime/process.ts';
import { BoundedLog } from './bounded-log.ts';
import { openBridge } from './bridge.ts';
import type { LabRequest } from './control-protocol.ts';
import { serveControl } from './control-server.ts';
import { readRouterCounters } from './counters.ts';
import { HostProcess } from './host-process.ts';
import { bootScript, enterHostScript, labRun, sharedRootScript } from './host-root.ts';
import { type LaunchRequest, launchRequestSchema } from './launch-request.ts';
import type { LabHost, LabManifest } from './manifest.ts';
import { buildNetwork, cutLinks, detectDelay, netnsInode, startDelayd } from './network.ts';
import { type LabPaths, labPaths } from './paths.ts';
import { type HostPlan, type LabPlan, planLab } from './plan.ts';
import { StoneRotation } from './rotation.ts';
import { layOutStorage } from './sample-storage.ts';
import { clientConfig, hostKeyAlias, rendezvousConfig, sshdConfig } from './ssh-files.ts';

/**
 * The lab's own process, as the labkeeper starts it: root, in fresh namespaces. Builds the lab, says one
 * line of JSON on stdout when it is up or why not, and serves the control socket and the bridge until it
 * is told to go down or dies; either way the kernel takes everything in here along.
 */
export async function runInside(requestFile: string): Promise<void> {
  const request = launchRequestSchema.parse(JSON.parse(await readFile(requestFile, 'utf8')));
  const paths = labPaths(request.home);
  const log = new BoundedLog(paths.log, request.owner);
  try {
    const lab = new Lab(request, paths, log);
    const manifest = await lab.bringUp();
    await say({ ok: true, result: manifest });
    log.line(`lab ${request.labId} is up`);
  } catch (error) {
    const fault = toMoveError(error);
    log.line(`not up: ${fault.stack ?? fault.message} ${JSON.stringify(fault.details)}`);
    await say({ ok: false, error: fault.toBody() });
    process.exit(1);
  }
}

function say(answer: unknown): Promise<void> {
  return new Promise((resolve) => process.stdout.write(`${JSON.stringify(answer)}\n`, () => resolve()));
}

class Lab {
  readonly #request: LaunchRequest;
  readonly #paths: LabPaths;
  readonly #log: BoundedLog;
  readonly #hosts = new Map<string, HostProcess>();
  #plan!: LabPlan;
  #manifest!: LabManifest;
  #rotation!: StoneRotation;

  constructor(request: LaunchRequest, paths: LabPaths, log: BoundedLog) {
    this.#request = request;
    this.#paths = paths;
    this.#log = log;
  }

  async bringUp(): Promise<LabManifest> {
    const { spec } = this.#request;
    const mark = stopwatch(this.#log);
    await mkdir(path.join(labRun, 'etc-files/move/sshd'), { recursive: true });
    const keys = this.#makeKeys();
    const delay = await detectDelay();
    this.#plan = planLab(spec, delay);
    this.#rotation = new StoneRotation(spec, this.#plan);
    mark('planned');
    for (const plan of this.#plan.hosts) {
      const host = new HostProcess(plan, this.#plan, this.#request.freezer, (ended) =>
        this.#hostEnded(ended),
      );
      this.#hosts.set(plan.name, host);
    }
    await Promise.all([
      buildNetwork(this.#plan).then(() => mark('network')),
      keys
        .then(() => this.#writeHostFiles())
        .then(() => this.#assembleRoot())
        .then(() => mark('root')),
      this.#layOutSamples(),
    ]);
    if (this.#plan.wires.length > 0) {
      const delayd = await startDelayd(path.join(this.#request.cache, 'native/delayd'), this.#plan.wires);
      delayd.once('exit', (code, signal) => {
        this.#log.line(`delayd ended (${code ?? signal}): the lab cannot go on`);
        process.exit(1);
      });
    }
    this.#manifest = await this.#describe(delay);
    this.#publishToHosts();
    for (const host of this.#hosts.values()) host.start();
    mark('hosts started');
    const deadline = performance.now() + 20_000;
    const admin = [...this.#hosts.values()].find(({ plan }) => plan.role === 'admin');
    await Promise.all(
      [...this.#hosts.values()].map((host) =>
        host.waitReady(deadline, host.plan.role === 'stone' ? admin : undefined),
      ),
    );
    mark('hosts ready');
    await this.#openSockets();
    this.#publishToUser();
    return this.#manifest;
  }

  async #makeKeys(): Promise<void> {
    const make = (file: string, comment: string) =>
      runChecked('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', file], {
        timeoutMs: 10_000,
      });
    await Promise.all([
      make(path.join(labRun, 'etc-files/move/ssh_host_ed25519_key'), hostKeyAlias),
      make(path.join(labRun, 'stone-key'), 'move-lab-stone'),
    ]);
  }

  /** What all hosts find in /etc/move, except for the manifest, which needs the network first. */
  async #writeHostFiles(): Promise<void> {
    const etc = path.join(labRun, 'etc-files/move');
    const hostKey = readFileSync(path.join(etc, 'ssh_host_ed25519_key.pub'), 'utf8')
      .split(' ')
      .slice(0, 2)
      .join(' ');
    await mkdir(path.join(etc, 'rendezvous'), { recursive: true });
    const admin = this.#plan.hosts.find(({ role }) => role === 'admin');
    const stoneKey = await readFile(path.join(labRun, 'stone-key'));
    const stonePublicKey = await readFile(path.join(labRun, 'stone-key.pub'), 'utf8');
    for (const plan of this.#plan.hosts) {
      const host = { role: plan.role, addresses: addressesOf(plan) };
      await writeFile(path.join(etc, 'sshd', plan.name), sshdConfig(host));
      const root = path.join(labRun, 'hosts', plan.name, 'root/.ssh');
      await mkdir(root, { recursive: true, mode: 0o700 });
      if (plan.role === 'stone' && admin) {
        await writeFile(
          path.join(etc, 'rendezvous', plan.name),
          rendezvousConfig(plan.name, sshAddress(admin)),
        );
        await writeFile(path.join(root, 'id_ed25519'), stoneKey, { mode: 0o600 });
      }
      if (plan.role === 'admin') {
        await writeFile(path.join(root, 'authorized_keys'), `restrict,port-forwarding ${stonePublicKey}`, {
          mode: 0o600,
        });
      }
    }
    await cp(this.#paths.sshPublicKey, path.join(etc, 'authorized_keys'));
    await chmod(path.join(etc, 'authorized_keys'), 0o644);
    await writeFile(path.join(etc, 'known_hosts'), `${hostKeyAlias} ${hostKey}\n`);
    await writeFile(path.join(etc, 'boot'), bootScript);
    await writeFile(path.join(labRun, 'enter'), enterHostScript);
    const names = this.#plan.hosts.map((plan) => `${sshAddress(plan)} ${plan.name}`);
    await writeFile(path.join(labRun, 'etc-files/hosts'), `127.0.0.1 localhost\n${names.join('\n')}\n`);
  }

  async #assembleRoot(): Promise<void> {
    const script = sharedRootScript(this.#request);
    await runChecked('sh', ['-c', script], { timeoutMs: 20_000 });
  }

  async #layOutSamples(): Promise<void> {
    for (const service of this.#request.spec.services) {
      const sample = this.#request.samples[service.hostname];
      const home = path.join(labRun, 'hosts', service.homeSite);
      if (sample) await layOutStorage(sample, path.join(home, service.storage));
    }
  }

  async #describe(delay: LabManifest['delay']): Promise<LabManifest> {
    const { labId, spec, specHash } = this.#request;
    const hosts: Record<string, LabHost> = {};
    for (const plan of this.#plan.hosts) {
      hosts[plan.name] = {
        name: plan.name,
        role: plan.role,
        ...(plan.isp ? { isp: plan.isp } : {}),
        ...(plan.network ? { network: plan.network } : {}),
        ssh: { address: sshAddress(plan), port: 22 },
        ...(plan.viaStone ? { viaStone: plan.viaStone } : {}),
        addresses: addressesOf(plan),
        interfaces: Object.fromEntries(plan.ports.map(({ link }) => [link, link])),
        rateMbit: Object.fromEntries(plan.ports.map(({ link, rate }) => [link, rate.rateMbit])),
        ...(plan.offers ? { offers: plan.offers } : {}),
        netnsInode: await netnsInode(plan.name),
      };
    }
    const known = readFileSync(path.join(labRun, 'etc-files/move/known_hosts'), 'utf8').trim();
    return {
      labId,
      name: spec.name,
      startedAt: new Date().toISOString(),
      specHash,
      keeperPid: Number(process.env.MOVE_LAB_KEEPER ?? 0),
      bridgeSocket: this.#paths.bridgeSocket,
      controlSocket: this.#paths.controlSocket,
      sshKeyPath: this.#paths.sshKey,
      sshConfigPath: this.#paths.sshConfig,
      sshHostKey: known.slice(hostKeyAlias.length + 1),
      sshHostKeyAlias: hostKeyAlias,
      sshUser: 'root',
      delay,
      hosts,
      ...(spec.ring ? { ring: spec.ring } : {}),
      services: spec.services.map(({ sample: _sample, ...service }) => service),
      roundTripMs: this.#plan.roundTripMs,
    };
  }

  #publishToHosts(): void {
    replaceFile(
      path.join(labRun, 'etc/merged/move/lab.json'),
      `${JSON.stringify(this.#manifest, null, 2)}\n`,
      0o444,
    );
  }

  #publishToUser(): void {
    const own = (file: string, text: string) => {
      replaceFile(file, text, 0o600);
      chownSync(file, this.#request.owner.uid, this.#request.owner.gid);
    };
    own(this.#paths.knownHosts, `${hostKeyAlias} ${this.#manifest.sshHostKey}\n`);
    own(this.#paths.sshConfig, clientConfig({ ...this.#manifest, knownHostsPath: this.#paths.knownHosts }));
    own(this.#paths.manifest, `${JSON.stringify(this.#manifest, null, 2)}\n`);
  }

  async #openSockets(): Promise<void> {
    await openBridge(this.#paths.bridgeSocket);
    await serveControl(this.#paths.controlSocket, (request) => this.#answer(request));
    for (const file of [this.#paths.bridgeSocket, this.#paths.controlSocket]) {
      chmodSync(file, 0o600);
      chownSync(file, this.#request.owner.uid, this.#request.owner.gid);
    }
  }

  async #answer(request: LabRequest): Promise<unknown> {
    if (request.command !== 'status' && request.command !== 'counters')
      this.#log.line(JSON.stringify(request));
    switch (request.command) {
      case 'status':
        return this.#status();
      case 'counters':
        return readRouterCounters(this.#plan);
      case 'down':
        // answered first; then the kernel removes everything with this process
        setImmediate(() => setImmediate(() => process.exit(0)));
        return {};
      case 'power': {
        const host = this.#host(request.host);
        if (request.on) await host.powerOn();
        else await host.powerOff();
        return {};
      }
      case 'link':
        return this.#setLink(request.host, request.link, request.up);
      case 'rotate': {
        const rotation = await this.#rotation.rotate(this.#host(request.host).plan, request.dropOld ?? false);
        this.#manifest.hosts[request.host]!.addresses.global = rotation.address;
        this.#publishToHosts();
        this.#publishToUser();
        return rotation;
      }
    }
  }

  async #setLink(name: string, link: string, up: boolean): Promise<unknown> {
    const host = this.#host(name);
    const port = host.plan.ports.find((each) => each.link === link);
    if (!port) {
      const links = host.plan.ports.map((each) => each.link).join(', ');
      throw new MoveError('LINK_UNKNOWN', `The host ${name} has no ${link} link; it has ${links}.`, {
        host: name,
        link,
      });
    }
    if (up) host.cut.delete(link);
    else host.cut.add(link);
    // a link of a host that is off stays silent until the host is on again
    if (host.on || !up) await cutLinks(port.router, [port.routerInterface], !up);
    return {};
  }

  #status() {
    const hosts = [...this.#hosts.values()].map(
      (host) =>
        [
          host.plan.name,
          {
            role: host.plan.role,
            power: host.on ? 'on' : 'off',
            cutLinks: [...host.cut],
            addresses: this.#manifest.hosts[host.plan.name]?.addresses ?? {},
          },
        ] as const,
    );
    const { labId, name, startedAt } = this.#manifest;
    return { running: true, labId, name, startedAt, hosts: Object.fromEntries(hosts) };
  }

  #host(name: string): HostProcess {
    const host = this.#hosts.get(name);
    if (!host) throw new MoveError('HOST_UNKNOWN', `The lab has no host ${name}.`, { host: name });
    return host;
  }

  #hostEnded(host: HostProcess): void {
    this.#log.line(`host ${host.plan.name} is off`);
  }
}

function addressesOf(plan: HostPlan): LabHost['addresses'] {
  return Object.fromEntries(plan.ports.map(({ link, address }) => [link, address]));
}

function sshAddress(plan: HostPlan): string {
  const { secondary, internal, global } = addressesOf(plan);
  return secondary ?? internal ?? global ?? '127.0.0.1';
}

function replaceFile(file: string, text: string, mode: number): void {
  const aside = `${file}.new`;
  writeFileSync(aside, text, { mode });
  renameSync(aside, file);
}

function stopwatch(log: BoundedLog): (what: string) => void {
  const start = performance.now();
  return (what) => log.line(`${what} after ${Math.round(performance.now() - start)} ms`);
}
