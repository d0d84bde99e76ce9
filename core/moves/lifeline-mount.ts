import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { systemClock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import type { Link } from '../runtime/link/link.ts';
import { runProgram } from '../runtime/process.ts';
import type { LifelineState } from './lifeline-storage.ts';
import { AttributeMemory } from './sftp/attribute-memory.ts';
import { SftpRelay } from './sftp/sftp-relay.ts';
import { warmDirectory } from './warm-directory.ts';

interface Mounted {
  link: Link | null;
  bytes: number;
  server: Server;
  waiting: Set<() => void>;
  memory: AttributeMemory;
  relays: Set<SftpRelay>;
}

const mountDeadlineMs = 8_000;
const warmLimitMs = 2_000;

/**
 * The pod's end of lifelines: takes the links that storage sites offer, and mounts each service's
 * storage by sshfs over them. sshfs speaks through a unix socket to a relay here, which spares round trips
 * and outlives links: while none is there, requests that need the storage get an I/O error, others nothing.
 */
export class LifelineMount {
  readonly #runDirectory: string;
  /** Not below /run: criu sees a private one. */
  readonly #storageDirectory: string;
  readonly #tell: (service: string, state: LifelineState) => void;
  readonly #log: (line: string) => void;
  readonly #mounts = new Map<string, Mounted>();

  constructor(options: {
    stateDirectory: string;
    runDirectory: string;
    tell: (service: string, state: LifelineState) => void;
    log: (line: string) => void;
  }) {
    this.#runDirectory = options.runDirectory;
    this.#storageDirectory = join(options.stateDirectory, 'storage');
    this.#tell = options.tell;
    this.#log = options.log;
  }

  /** The directory at which a service's storage is, or will be, mounted. */
  directory(service: string): string {
    return join(this.#storageDirectory, service);
  }

  /** Begins to expect a lifeline of this service. Idempotent; also after a restart of the agent. */
  async expect(service: string): Promise<void> {
    if (this.#mounts.has(service)) return;
    const folder = join(this.#runDirectory, 'lifelines');
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const socketPath = join(folder, `${service}.sock`);
    await rm(socketPath, { force: true });
    const server = createServer({ allowHalfOpen: true }, (socket) => this.#connect(service, socket));
    const mounted: Mounted = {
      link: null,
      bytes: 0,
      server,
      waiting: new Set(),
      memory: new AttributeMemory(systemClock),
      relays: new Set(),
    };
    this.#mounts.set(service, mounted);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(socketPath, resolve);
    });
    const connector = join(folder, `${service}.connect`);
    await writeFile(connector, `#!/bin/sh\nexec /usr/bin/socat - UNIX-CONNECT:${socketPath}\n`);
    await chmod(connector, 0o700);
  }

  /**
   * Takes a link as the lifeline of a service.
   * @throws MoveError `LIFELINE_UNEXPECTED` when no pod of that service is here or on its way.
   */
  offer(service: string, link: Link): void {
    const mounted = this.#mounts.get(service);
    if (!mounted)
      throw new MoveError('LIFELINE_UNEXPECTED', `No pod of ${service} is here that could use its storage.`, {
        service,
      });
    mounted.link?.close();
    mounted.link = link;
    this.#tell(service, 'open');
    void link.closed.then(() => {
      if (mounted.link !== link) return;
      mounted.link = null;
      if (this.#mounts.get(service) === mounted) this.#tell(service, 'cut');
    });
    for (const wake of mounted.waiting) wake();
    for (const relay of mounted.relays) relay.connect();
  }

  /**
   * Mounts the storage once its lifeline has come.
   * @throws MoveError `LIFELINE_UNREACHABLE` when none comes in time, `MOUNT_FAILED`.
   */
  async mount(service: string): Promise<string> {
    await this.expect(service);
    const mounted = this.#mounts.get(service)!;
    await this.#linked(service, mounted);
    const directory = this.directory(service);
    await this.unmount(service);
    // What an earlier mount learnt may be of another time of the storage.
    for (const relay of mounted.relays) relay.close();
    mounted.memory = new AttributeMemory(systemClock);
    await mkdir(directory, { recursive: true, mode: 0o755 });
    const connector = join(this.#runDirectory, 'lifelines', `${service}.connect`);
    const result = await runProgram(
      'sshfs',
      [
        'lifeline:/storage',
        directory,
        '-o',
        `ssh_command=${connector}`,
        '-o',
        'reconnect,allow_other,default_permissions,auto_cache,idmap=none',
        '-o',
        'max_read=65536',
      ],
      { timeoutMs: mountDeadlineMs },
    );
    if (result.code !== 0)
      throw new MoveError(
        'MOUNT_FAILED',
        `The storage of ${service} could not be mounted over its lifeline.`,
        {
          stderr: result.stderr.slice(-500),
          timedOut: result.timedOut,
        },
      );
    // Beside the move, which does not wait for it.
    void warmDirectory(directory, AbortSignal.timeout(warmLimitMs));
    return directory;
  }

  /** Unmounts whatever is mounted for the service; nothing when there is none. */
  async unmount(service: string): Promise<void> {
    await runProgram('umount', ['--lazy', '--quiet', this.directory(service)], { timeoutMs: 5_000 });
  }

  /** Ends a service's lifeline here: unmounts, forgets the link. */
  async forget(service: string): Promise<void> {
    const mounted = this.#mounts.get(service);
    this.#mounts.delete(service);
    await this.unmount(service);
    mounted?.server.close();
    for (const relay of mounted?.relays ?? []) relay.close();
    mounted?.link?.close();
    if (mounted) this.#tell(service, 'closed');
  }

  status(): {
    service: string;
    state: 'opening' | 'open' | 'cut';
    bytes: number;
    roundTripMs: number | null;
  }[] {
    return [...this.#mounts].map(([service, mounted]) => ({
      service,
      state: mounted.link ? 'open' : 'cut',
      bytes: mounted.bytes,
      roundTripMs: mounted.link?.rttMs ?? null,
    }));
  }

  #connect(service: string, socket: Socket): void {
    const mounted = this.#mounts.get(service);
    if (!mounted) {
      socket.destroy();
      return;
    }
    const count = (chunk: Buffer) => {
      mounted.bytes += chunk.length;
    };
    const relay = new SftpRelay({
      client: socket,
      dial: () => {
        if (!mounted.link?.isOpen) return null;
        const stream = mounted.link.openStreamNow({ kind: 'lifeline', service });
        stream.on('data', count);
        return stream;
      },
      memory: mounted.memory,
      clock: systemClock,
      onFault: (error) => this.#log(`lifeline of ${service}: ${error.code} ${error.message}`),
    });
    socket.on('data', count);
    mounted.relays.add(relay);
    socket.once('close', () => mounted.relays.delete(relay));
  }

  #linked(service: string, mounted: Mounted): Promise<void> {
    if (mounted.link) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const wake = () => {
        clearTimeout(timer);
        mounted.waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(() => {
        mounted.waiting.delete(wake);
        reject(
          new MoveError(
            'LIFELINE_UNREACHABLE',
            `No lifeline for ${service} has come within ${mountDeadlineMs} ms.`,
          ),
        );
      }, mountDeadlineMs);
      mounted.waiting.add(wake);
    });
  }
}
