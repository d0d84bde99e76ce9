import { existsSync, mkdirSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { writeAdvance } from './advance.ts';
import { findBlockers } from './blockers.ts';
import { checkCheckpoint, checkpointFiles, dumpPod, layerOptions, restorePod } from './checkpoint.ts';
import { learnKernel } from './criu.ts';
import { Freezer } from './freezer.ts';
import { connectGateway, controlGateway, probeThroughGateway } from './gateway-client.ts';
import { settleInFlight } from './in-flight.ts';
import { interfaceBytes } from './interface-bytes.ts';
import { PacketFilter } from './packet-filter.ts';
import {
  dropOutsideConnections,
  makePodNetwork,
  publishPod,
  removePodNetwork,
  unpublishPod,
} from './pod-network.ts';
import { type PodPaths, type PodRuntimeConfig, podPaths } from './pod-paths.ts';
import { type CountedUsage, loadRecord, nothingUsed, recordedPods, saveRecord } from './pod-record.ts';
import { PodResources } from './pod-resources.ts';
import {
  checkStorageDirectory,
  furnishRoot,
  makeRootDirectories,
  mountRoot,
  unmountRoot,
} from './pod-root.ts';
import { checkPodSpec, serviceAddressOf, sourceAddressOf, storageOnHost } from './pod-spec.ts';
import { startPodInit } from './pod-start.ts';
import type {
  Blocker,
  DumpResult,
  FreezeTimes,
  GatewayStats,
  PodRuntime,
  PodSpec,
  PodStatus,
  PodUsage,
  ProbeResult,
  PublishedPort,
  RestoreResult,
  StateFile,
  StoragePaths,
} from './port.ts';
import { findPodInit, isAlive, privateBytes, startTime } from './processes.ts';
import { quiesceAndFreeze } from './quiesce.ts';

const startLimitMs = 20_000;
const freezeLimitMs = 2000;
/** So long after its last run criu is taken to be in memory still; to look again costs a flooded site its processor. */
const warmForMs = 60_000;
const settleLimitMs = 50;
const killLimitMs = 3000;
const gatewayLimitMs = 2000;

/** A pod as far as this runtime has it in hand: where it is, and its two switches. */
interface Pod {
  spec: PodSpec;
  paths: PodPaths;
  freezer: Freezer;
  resources: PodResources;
  filter: PacketFilter;
}

/** The PodRuntime on Linux namespaces, an overlay root and criu. Needs root. */
export class CriuPodRuntime implements PodRuntime {
  readonly #config: PodRuntimeConfig;
  readonly #filters = new Map<string, PacketFilter>();
  /** Pods that are about to be frozen: nobody may open a connection to their gateway any more. */
  readonly #parked = new Set<string>();
  /** The first process of pods that sessions were attached to, so that hundreds at once need not look for it. */
  readonly #inits = new Map<string, { pid: number; startTime: string | undefined; freezer: Freezer }>();
  /** What the gateway of each pod said of itself last. */
  readonly #saidByGateway = new Map<string, { upBytes: number; downBytes: number }>();
  #warmedAt = Number.NEGATIVE_INFINITY;

  constructor(config: PodRuntimeConfig) {
    this.#config = config;
    for (const directory of [config.stateDir, config.runDir])
      mkdirSync(directory, { recursive: true, mode: 0o711 });
  }

  async warm(): Promise<void> {
    if (performance.now() - this.#warmedAt < warmForMs) return;
    this.#warmedAt = performance.now();
    await learnKernel(this.#config);
  }

  async writeAdvance(
    id: string,
    directory: string,
    options: { limitBytes: number; signal: AbortSignal },
  ): Promise<void> {
    const { freezer, paths } = this.#pod(id);
    await writeAdvance(
      freezer.processes(),
      { directory: paths.upper, options: layerOptions },
      directory,
      options.limitBytes,
      options.signal,
    );
  }

  async create(spec: PodSpec, options: { storage: StoragePaths; deadlineMs?: number }): Promise<PodStatus> {
    checkPodSpec(spec);
    const paths = podPaths(this.#config, spec.id);
    if (existsSync(paths.record)) {
      throw new MoveError('POD_EXISTS', `The pod "${spec.id}" is already on this site. Discard it first.`, {
        pod: spec.id,
      });
    }
    try {
      saveRecord(paths, { version: 1, spec, prepared: false });
      await makeRootDirectories(paths);
      return await this.#boot(spec, options);
    } catch (error) {
      await this.discard(spec.id);
      throw error;
    }
  }

  async start(id: string, options: { storage: StoragePaths; deadlineMs?: number }): Promise<PodStatus> {
    const pod = this.#pod(id);
    if (findPodInit(pod.freezer.processes()) !== undefined) return this.status(id);
    try {
      return await this.#boot(pod.spec, options);
    } catch (error) {
      await this.#takeDown(pod);
      throw error;
    }
  }

  async #boot(spec: PodSpec, options: { storage: StoragePaths; deadlineMs?: number }): Promise<PodStatus> {
    const storage = storageOnHost(spec, options.storage);
    for (const each of storage) checkStorageDirectory(each.name, each.hostPath);
    const deadline = performance.now() + (options.deadlineMs ?? startLimitMs);
    const left = () => Math.max(1, deadline - performance.now());
    const { paths, freezer, resources, filter } = this.#hold(spec);
    await mountRoot(this.#config, spec, paths);
    await furnishRoot(spec, paths);
    filter.close();
    await makePodNetwork(spec, paths, this.#config.hostNetworkNamespace);
    await filter.install(spec.ports, spec.dialOut);
    freezer.create();
    resources.create();
    resources.limit();
    await startPodInit(spec, paths, freezer, {
      groups: resources.groups(),
      gatewayPath: this.#config.gatewayPath,
      storage,
      deadlineMs: left(),
    });
    for (;;) {
      try {
        await this.probe(spec.id, { deadlineMs: Math.min(left(), 5000) });
        break;
      } catch (error) {
        if (findPodInit(freezer.processes()) === undefined || performance.now() >= deadline) throw error;
        await delay(20);
      }
    }
    await filter.unfence();
    return this.status(spec.id);
  }

  async stop(id: string, options: { graceMs?: number } = {}): Promise<void> {
    const pod = this.#pod(id);
    const init = findPodInit(pod.freezer.processes());
    if (init !== undefined && !pod.freezer.isFrozen()) {
      await this.#keepUsed(pod);
      process.kill(init, 'SIGTERM');
      const deadline = performance.now() + (options.graceMs ?? 5000);
      while (isAlive(init) && performance.now() < deadline) await delay(10);
    }
    await this.#takeDown(pod);
  }

  async status(id: string): Promise<PodStatus> {
    const record = loadRecord(this.#config, id);
    const pod = this.#hold(record.spec);
    const pids = pod.freezer.processes().filter(isAlive);
    const pid = findPodInit(pids);
    const phase =
      pid === undefined
        ? record.prepared
          ? 'prepared'
          : 'stopped'
        : pod.freezer.isFrozen()
          ? 'frozen'
          : 'running';
    return {
      spec: record.spec,
      phase,
      processes: pids.length,
      fenced: pid === undefined ? true : await this.#isFenced(pod),
      ...(pid === undefined ? {} : { pid }),
    };
  }

  /** A pod without processes sends nothing, and its network may be about to come or to go. */
  async #isFenced(pod: Pod): Promise<boolean> {
    try {
      return await pod.filter.isFenced();
    } catch (error) {
      if (pod.freezer.processes().some(isAlive)) throw error;
      return true;
    }
  }

  /** The processes of a pod as this host numbers them; none when it does not run. */
  processesOf(id: string): readonly number[] {
    const freezer = new Freezer(podPaths(this.#config, id).cgroup);
    return freezer.exists() ? freezer.processes() : [];
  }

  async list(): Promise<PodStatus[]> {
    const all: PodStatus[] = [];
    for (const id of recordedPods(this.#config)) all.push(await this.status(id));
    return all;
  }

  async usage(id: string): Promise<PodUsage> {
    const pod = this.#pod(id);
    this.#init(pod);
    this.#refuseFrozen(id, pod.freezer);
    const counted = this.#counted(pod);
    const memory = pod.resources.usage()?.memoryBytes;
    if (counted === undefined || memory === undefined)
      throw new MoveError('POD_USAGE_UNKNOWN', 'This site does not count what its pods use.', { pod: id });
    const { upBytes, downBytes } = await this.#gatewayBytes(id);
    return {
      processorMs: counted.processorMs,
      memoryBytes: memory,
      processes: pod.freezer.processes().length,
      receivedBytes: counted.receivedBytes + upBytes,
      sentBytes: counted.sentBytes + downBytes,
    };
  }

  /**
   * The gateway's own counters, which travel in its memory. One that a busy pod keeps from its processor says them
   * later; until then they are those that it said last.
   */
  async #gatewayBytes(id: string): Promise<{ upBytes: number; downBytes: number }> {
    try {
      return await this.control(id, 'stats');
    } catch (error) {
      if (toMoveError(error).code !== 'POD_GATEWAY_UNREACHABLE') throw error;
      return this.#saidByGateway.get(id) ?? { upBytes: 0, downBytes: 0 };
    }
  }

  /** What the pod has used but for its gateway's bytes, or undefined where nothing is counted. */
  #counted(pod: Pod): CountedUsage | undefined {
    const before = loadRecord(this.#config, pod.spec.id).used ?? nothingUsed;
    const group = pod.resources.usage();
    if (group === undefined) return undefined;
    const { received, sent } = interfaceBytes(this.#init(pod), 'eth0');
    return {
      processorMs: before.processorMs + group.processorMs,
      receivedBytes: before.receivedBytes + received,
      sentBytes: before.sentBytes + sent,
    };
  }

  /** Notes what a pod that is about to be stopped has used: its groups, network and gateway begin anew. */
  async #keepUsed(pod: Pod): Promise<void> {
    const counted = this.#counted(pod);
    if (counted === undefined) return;
    const { upBytes, downBytes } = await this.#gatewayBytes(pod.spec.id);
    const used = {
      processorMs: counted.processorMs,
      receivedBytes: counted.receivedBytes + upBytes,
      sentBytes: counted.sentBytes + downBytes,
    };
    saveRecord(pod.paths, { version: 1, spec: pod.spec, prepared: false, used });
  }

  attach(id: string): Promise<Socket> {
    let init = this.#inits.get(id);
    if (init?.startTime === undefined || startTime(init.pid) !== init.startTime) {
      this.#inits.delete(id);
      const pod = this.#pod(id);
      this.#refuseFrozen(id, pod.freezer);
      const pid = this.#init(pod);
      init = { pid, startTime: startTime(pid), freezer: pod.freezer };
      this.#inits.set(id, init);
    } else this.#refuseFrozen(id, init.freezer);
    return connectGateway(init.pid, gatewayLimitMs);
  }

  #refuseFrozen(id: string, freezer: Freezer): void {
    if (this.#parked.has(id) || freezer.isFrozen())
      throw new MoveError('POD_FROZEN', `The pod "${id}" is frozen; its sessions are parked.`, { pod: id });
  }

  async control(id: string, command: 'pause' | 'resume' | 'stats'): Promise<GatewayStats> {
    const said = await controlGateway(await this.attach(id), command, gatewayLimitMs);
    this.#saidByGateway.set(id, said);
    return said;
  }

  async fence(id: string): Promise<void> {
    await this.#pod(id).filter.fence();
  }

  async unfence(id: string): Promise<void> {
    await this.#pod(id).filter.unfence();
  }

  async freeze(id: string, deadlineMs = freezeLimitMs): Promise<void> {
    await this.#pod(id).freezer.freeze(deadlineMs);
  }

  async thaw(id: string): Promise<void> {
    this.#pod(id).freezer.thaw();
  }

  async quiesceAndFreeze(id: string, options: { freezeMs?: number } = {}): Promise<FreezeTimes> {
    const pod = this.#pod(id);
    const init = this.#init(pod);
    this.#parked.add(id);
    pod.resources.liftProcessors();
    return quiesceAndFreeze({
      fence: () => pod.filter.fence(),
      pause: async () => controlGateway(await connectGateway(init, gatewayLimitMs), 'pause', gatewayLimitMs),
      freeze: () => pod.freezer.freeze(options.freezeMs ?? freezeLimitMs),
      settle: () =>
        settleInFlight(init, [serviceAddressOf(pod.spec), sourceAddressOf(pod.spec)], settleLimitMs),
      undo: () => this.rollback(id),
    });
  }

  async rollback(id: string): Promise<void> {
    const pod = this.#pod(id);
    await pod.filter.stir();
    await pod.filter.unfence();
    pod.resources.limitProcessors();
    pod.freezer.thaw();
    this.#parked.delete(id);
    await this.control(id, 'resume');
  }

  async dump(id: string, imageDir: string): Promise<DumpResult> {
    const pod = this.#pod(id);
    if (!pod.freezer.isFrozen()) {
      throw new MoveError('POD_NOT_FROZEN', `The pod "${id}" must be frozen before it is checkpointed.`, {
        pod: id,
      });
    }
    const used = this.#counted(pod) ?? nothingUsed;
    try {
      // Until a rollback stirs it again: what moves between the pod's own sockets would tear the image.
      await pod.filter.still();
      const dump = () => dumpPod(this.#config, pod.spec, pod.paths, this.#init(pod), imageDir, used);
      return await dump().catch((thrown) => {
        // A lifeline that loses the same packet several times answers with one such error, and then as ever.
        if (toMoveError(thrown).code !== 'CHECKPOINT_STORAGE_SILENT' || !pod.freezer.isFrozen()) throw thrown;
        return dump();
      });
    } catch (error) {
      const cause = toMoveError(error);
      const [blocker] =
        cause.code === 'CHECKPOINT_DUMP_FAILED'
          ? findBlockers(pod.freezer.processes(), pod.spec.terminals)
          : [];
      if (!blocker) throw cause;
      throw new MoveError(blocker.code, blocker.message, cause.details, cause);
    }
  }

  async blockers(id: string): Promise<Blocker[]> {
    const { freezer, spec } = this.#pod(id);
    return findBlockers(freezer.processes(), spec.terminals);
  }

  async memory(id: string): Promise<number> {
    const { freezer } = this.#pod(id);
    return freezer.processes().reduce((sum, pid) => sum + privateBytes(pid), 0);
  }

  async stateFiles(id: string, imageDir: string): Promise<StateFile[]> {
    this.#pod(id);
    return checkpointFiles(imageDir);
  }

  async prepareTarget(spec: PodSpec): Promise<void> {
    checkPodSpec(spec);
    const paths = podPaths(this.#config, spec.id);
    if (existsSync(paths.record)) {
      const status = await this.status(spec.id);
      if (status.phase !== 'prepared') {
        throw new MoveError('POD_EXISTS', `The pod "${spec.id}" is already on this site.`, { pod: spec.id });
      }
    }
    saveRecord(paths, { version: 1, spec, prepared: true });
    const { freezer, resources, filter } = this.#hold(spec);
    await makeRootDirectories(paths);
    filter.close();
    await makePodNetwork(spec, paths, this.#config.hostNetworkNamespace);
    await filter.install(spec.ports, spec.dialOut);
    freezer.create();
    resources.create();
    resources.limit(); // a site that cannot keep them says so before anything is frozen
  }

  async restore(
    id: string,
    imageDir: string,
    options: { storage: StoragePaths; deadlineMs: number },
  ): Promise<RestoreResult> {
    const pod = this.#pod(id);
    if (pod.freezer.processes().some(isAlive)) {
      throw new MoveError('POD_EXISTS', `The pod "${id}" already runs on this site.`, { pod: id });
    }
    const storage = storageOnHost(pod.spec, options.storage);
    const used = checkCheckpoint(pod.spec, imageDir);
    await pod.filter.fence();
    await pod.filter.still();
    pod.resources.liftForRestore();
    try {
      const restoreMs = await restorePod(this.#config, pod.spec, pod.paths, imageDir, {
        storage,
        groups: pod.resources.groups(),
        deadlineMs: options.deadlineMs,
        killAll: () => this.#signalAll(pod),
      });
      await dropOutsideConnections(pod.spec, pod.paths.networkNamespace);
      await pod.filter.stir();
      this.#parked.delete(id);
      pod.resources.limit();
      saveRecord(pod.paths, { version: 1, spec: pod.spec, prepared: false, used });
      return { restoreMs, pid: this.#init(pod) };
    } catch (error) {
      await this.#killAll(pod);
      await makeRootDirectories(pod.paths);
      throw error;
    }
  }

  async probe(id: string, options: { deadlineMs?: number } = {}): Promise<ProbeResult> {
    const { spec } = this.#pod(id);
    await this.control(id, 'resume');
    return probeThroughGateway(await this.attach(id), {
      host: spec.service,
      probe: spec.probe,
      deadlineMs: options.deadlineMs ?? 3000,
    });
  }

  async kill(id: string): Promise<void> {
    const pod = this.#pod(id);
    if (existsSync(pod.paths.networkNamespace)) await pod.filter.fence();
    await this.#killAll(pod);
  }

  async discard(id: string): Promise<void> {
    const paths = podPaths(this.#config, id);
    if (!existsSync(paths.home) && !existsSync(paths.run)) return;
    const pod = this.#pod(id);
    await this.#takeDown(pod);
    rmSync(paths.run, { recursive: true, force: true });
    rmSync(paths.home, { recursive: true, force: true });
    this.#filters.delete(id);
  }

  async publish(id: string, port: PublishedPort): Promise<void> {
    const pod = this.#pod(id);
    await publishPod(pod.spec, pod.paths, this.#config.hostNetworkNamespace, port);
  }

  async unpublish(id: string): Promise<void> {
    const pod = this.#pod(id);
    await unpublishPod(pod.spec, pod.paths, this.#config.hostNetworkNamespace);
  }

  async turnAway(id: string): Promise<void> {
    const pod = this.#pod(id);
    await unpublishPod(pod.spec, pod.paths, this.#config.hostNetworkNamespace);
    await dropOutsideConnections(pod.spec, pod.paths.networkNamespace);
  }

  async close(): Promise<void> {
    for (const filter of this.#filters.values()) filter.close();
    this.#filters.clear();
  }

  #pod(id: string): Pod {
    return this.#hold(loadRecord(this.#config, id).spec);
  }

  #hold(spec: PodSpec): Pod {
    const paths = podPaths(this.#config, spec.id);
    let filter = this.#filters.get(spec.id);
    if (!filter) {
      filter = new PacketFilter(paths.networkNamespace);
      this.#filters.set(spec.id, filter);
    }
    return {
      spec,
      paths,
      freezer: new Freezer(paths.cgroup),
      resources: new PodResources(paths.cgroup, spec.limits ?? {}),
      filter,
    };
  }

  #init(pod: Pod): number {
    const init = findPodInit(pod.freezer.processes());
    if (init !== undefined) return init;
    throw new MoveError('POD_NOT_RUNNING', `The pod "${pod.spec.id}" does not run on this site.`, {
      pod: pod.spec.id,
    });
  }

  #signalAll(pod: Pod): void {
    for (const pid of pod.freezer.processes()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
  }

  /** Kills first and thaws then: a frozen process wakes only to die. */
  async #killAll(pod: Pod): Promise<void> {
    const deadline = performance.now() + killLimitMs;
    for (let spin = 0; ; spin++) {
      const alive = pod.freezer.processes().filter(isAlive);
      if (alive.length === 0) return;
      if (performance.now() > deadline) {
        throw new MoveError(
          'POD_KILL_TIMEOUT',
          `Processes of the pod "${pod.spec.id}" do not die; they are stuck in the kernel, often on dead storage. ` +
            'The fence stays closed.',
          { pod: pod.spec.id, pids: alive },
        );
      }
      this.#signalAll(pod);
      pod.freezer.thaw();
      await delay(spin < 10 ? 1 : 10);
    }
  }

  /** Ends what runs and removes what the kernel holds of a pod; its files stay. */
  async #takeDown(pod: Pod): Promise<void> {
    if (existsSync(pod.paths.networkNamespace)) await pod.filter.fence().catch(() => pod.filter.close());
    await this.#killAll(pod);
    await unpublishPod(pod.spec, pod.paths, this.#config.hostNetworkNamespace);
    pod.filter.close();
    this.#parked.delete(pod.spec.id);
    this.#inits.delete(pod.spec.id);
    this.#saidByGateway.delete(pod.spec.id);
    await unmountRoot(pod.paths);
    await removePodNetwork(pod.paths, this.#config.hostNetworkNamespace);
    for (let tries = 0; pod.freezer.exists(); tries++) {
      try {
        pod.resources.remove();
        pod.freezer.remove();
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || tries > 200) throw error;
        await delay(5); // the last of its processes are being reaped
      }
    }
  }
}
