import type { Socket } from 'node:net';

/** A directory of a pod that is not part of its root: it stays at home and is reached over a lifeline. */
export interface PodStorage {
  /** Where it is seen inside the pod, for example `/var/www/html`. */
  mountPoint: string;
  /** The name under which a checkpoint refers to it; lower-case letters, digits, dashes. */
  name: string;
}

/**
 * How a healthy service is told from one that is not. `http`: a GET is answered with `status`, or with any status
 * below 500 where none is given. `tcp`: a connection is accepted and, where `firstBytes` is given, the service is
 * the first to speak and begins with them.
 */
export type PodProbe =
  | { kind: 'http'; port: number; path: string; status?: number | undefined }
  | { kind: 'tcp'; port: number; firstBytes?: string | undefined };

/** Bounds of a pod; what is not named has none. Kept at every site that it runs at. */
export interface PodLimits {
  /** Processors that it may keep busy, 0.05 or more; 0.5 is half of one. */
  processors?: number | undefined;
  memoryMiB?: number | undefined;
  /** Processes and threads, those of the pod's own first process among them. */
  processes?: number | undefined;
  /** What it sends by its own network, to direct users and where it dials out, in Mbit/s. */
  sendMbit?: number | undefined;
}

/** A TCP service outside that a pod may open connections to. */
export interface DialOut {
  /** IPv4: a pod asks no name servers. */
  address: string;
  port: number;
}

/** What a pod has used since it was made, wherever it ran. */
export interface PodUsage {
  processorMs: number;
  /** Now, without file pages that the kernel would give back at once. */
  memoryBytes: number;
  /** Now. */
  processes: number;
  /** By its own network and through its gateway together. */
  receivedBytes: number;
  sentBytes: number;
}

/** What a pod is; the same at every site it ever runs at. */
export interface PodSpec {
  /** Lower-case letters, digits and dashes, at most 40; unique on a site. */
  id: string;
  /** The service's public name, for example `shop.example`. */
  service: string;
  /** The base root file system: a name under the runtime's images directory, the same at every site. */
  image: string;
  /** The service's command; it must stay in the foreground. */
  command: readonly string[];
  /** TCP ports the service listens on. */
  ports: readonly number[];
  storage: readonly PodStorage[];
  /** The host name inside the pod. */
  hostname: string;
  probe: PodProbe;
  /** Whether its programs open terminals of their own: the pod then has a /dev/pts. */
  terminals?: boolean;
  /** Whether its programs are kept from io_uring, which no checkpoint carries. */
  withoutIoUring?: boolean;
  limits?: PodLimits | undefined;
  /** Where it may open connections to; nowhere else. Default: nowhere at all. */
  dialOut?: readonly DialOut[] | undefined;
  /** The virtual address that moves along. Default 100.64.0.2. */
  serviceAddress?: string;
  /** The address the gateway calls the service from. Default 100.64.0.3. */
  sourceAddress?: string;
}

/** Host directories behind the storages of a pod, by storage name. */
export type StoragePaths = Readonly<Record<string, string>>;

export type PodPhase = 'running' | 'frozen' | 'prepared' | 'stopped';

export interface PodStatus {
  spec: PodSpec;
  phase: PodPhase;
  /** The pod's first process as the host numbers it. */
  pid?: number;
  processes: number;
  fenced: boolean;
}

/** What the gateway says of itself (session protocol, CONTROL). */
export interface GatewayStats {
  ok: boolean;
  paused: boolean;
  sessions: number;
  attached: number;
  detached: number;
  streams: number;
  opened: number;
  upBytes: number;
  downBytes: number;
  bufferedBytes: number;
  runningMs: number;
  /** Connections in the service's accept queues; -1 when the kernel cannot tell. */
  waiting: number;
}

export interface FreezeTimes {
  fenceMs: number;
  /** Includes the wait for the accept queues. */
  pauseMs: number;
  freezeMs: number;
  settleMs: number;
  totalMs: number;
  /** False when connections still waited to be accepted as the bound ran out; they are not carried. */
  drained: boolean;
  /** Connections whose last bytes had not arrived inside the pod when the wait for them ran out; they are not carried. */
  inFlight: number;
  sessions: number;
}

export interface StateFile {
  name: string;
  bytes: number;
}

export interface DumpResult {
  totalMs: number;
  files: StateFile[];
  totalBytes: number;
}

export interface RestoreResult {
  restoreMs: number;
  pid: number;
}

export interface ProbeResult {
  /** The HTTP status; 0 where the probe is none of HTTP. */
  status: number;
  /** Until the first byte of the answer, or until the connection was accepted where none is awaited. */
  firstByteMs: number;
  /** Until the answer was complete. */
  totalMs: number;
  bytes: number;
}

export interface PublishedPort {
  hostAddress: string;
  hostPort: number;
  podPort: number;
}

/** Something in a running pod that a checkpoint cannot carry. */
export interface Blocker {
  /** The code that a dump would fail with. */
  code: string;
  message: string;
  process: string;
}

/**
 * Runs, freezes, carries and wakes pods on one hosting site. Order of a move (DESIGN.md, decision 4):
 * source `quiesceAndFreeze`, `dump` (it stays frozen); target `prepareTarget` (fenced), `restore`,
 * `probe`; after the commit source `kill`, target `unfence`; on any fault before it target `discard`,
 * source `rollback`. Every method may be repeated. Errors are MoveErrors with a `POD_`, `IMAGE_` or
 * `CHECKPOINT_` code; an unknown pod is `POD_UNKNOWN`.
 */
export interface PodRuntime {
  /** Makes the pod and starts its service; resolves once the probe is answered. Leaves nothing on error. */
  create(spec: PodSpec, options: { storage: StoragePaths; deadlineMs?: number }): Promise<PodStatus>;
  /** Starts a stopped pod again with the files it had. */
  start(id: string, options: { storage: StoragePaths; deadlineMs?: number }): Promise<PodStatus>;
  /** Ends the service, first politely, and keeps its files. */
  stop(id: string, options?: { graceMs?: number }): Promise<void>;
  status(id: string): Promise<PodStatus>;
  /** Every pod of this site, as the kernel sees it now, also after a restart of the agent. */
  list(): Promise<PodStatus[]>;

  /**
   * What the running pod has used so far; it counts on across moves and restarts.
   * @throws MoveError `POD_USAGE_UNKNOWN` where the host does not count, `POD_NOT_RUNNING`, `POD_FROZEN`.
   */
  usage(id: string): Promise<PodUsage>;

  /** A fresh byte stream to the pod's gateway, for one session or one control exchange. */
  attach(id: string): Promise<Socket>;
  control(id: string, command: 'pause' | 'resume' | 'stats'): Promise<GatewayStats>;
  /** Lets no packet in or out of the pod, except between its own processes. */
  fence(id: string): Promise<void>;
  unfence(id: string): Promise<void>;
  freeze(id: string, deadlineMs?: number): Promise<void>;
  thaw(id: string): Promise<void>;

  /**
   * Does what the first dump or restore after a while would else wait for: pages its programs in and learns
   * what the kernel can do (300 ms at worst). Changes nothing that can be seen.
   */
  warm(): Promise<void>;
  /**
   * Writes into `directory` (emptied first) what most of the state of the running pod will be, as it is about now:
   * good for comparing pages of a later dump with, and for nothing else.
   * @throws MoveError `ADVANCE_TOO_LARGE` above `limitBytes`.
   */
  writeAdvance(
    id: string,
    directory: string,
    options: { limitBytes: number; signal: AbortSignal },
  ): Promise<void>;
  /** Fence, pause the gateway (bounded wait for the accept queues), freeze; undone on error. */
  quiesceAndFreeze(id: string, options?: { freezeMs?: number }): Promise<FreezeTimes>;
  /** Undoes `quiesceAndFreeze`: the pod runs on and its sessions can be resumed. */
  rollback(id: string): Promise<void>;
  /** What in the running pod would keep it from being carried; empty for a service that can move. */
  blockers(id: string): Promise<Blocker[]>;
  /** Bytes of memory that are its processes' own. */
  memory(id: string): Promise<number>;
  /** Writes the state of a frozen pod into `imageDir`; the pod stays frozen and alive. Not cancellable. */
  dump(id: string, imageDir: string): Promise<DumpResult>;
  /** What has to travel: every file of this list stands directly in `imageDir`. */
  stateFiles(id: string, imageDir: string): Promise<StateFile[]>;

  /** Makes everything a pod needs to be restored here, fenced; nothing runs yet. */
  prepareTarget(spec: PodSpec): Promise<void>;
  /** Wakes the pod from `imageDir` inside its fence, or leaves nothing of it running. */
  restore(
    id: string,
    imageDir: string,
    options: { storage: StoragePaths; deadlineMs: number },
  ): Promise<RestoreResult>;
  /** Lifts the gateway's pause and sends one request through it; works inside the fence. */
  probe(id: string, options?: { deadlineMs?: number }): Promise<ProbeResult>;
  /** Ends every process without letting it run or send again; the fence stays. */
  kill(id: string): Promise<void>;
  /** Removes all of the pod from this site: processes, mounts, network, files. Unknown pods are fine. */
  discard(id: string): Promise<void>;

  /** Forwards a port of the host's primary address to the pod, for direct users. */
  publish(id: string, port: PublishedPort): Promise<void>;
  unpublish(id: string): Promise<void>;
  /**
   * Unpublishes, and ends the connections of people who came directly: they cannot follow a move, would hold
   * the service's workers (under an attack all of them, so that nothing is accepted any more) and swell the
   * image. Done ahead of a freeze, so that nobody waits for it.
   */
  turnAway(id: string): Promise<void>;
  /** Lets go of helper processes; pods go on running. */
  close(): Promise<void>;
}
