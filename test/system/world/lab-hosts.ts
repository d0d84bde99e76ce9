import { createHash } from 'node:crypto';
import path from 'node:path';
import type { Duplex } from 'node:stream';
import type { AgentContract } from '../../../core/contract/agent-contract.ts';
import type { Client } from '../../../core/contract/channel.ts';
import { inventoryOf } from '../../../core/control/host-plan.ts';
import { readPassphrase } from '../../../core/control/passphrase.ts';
import { dialAgent, proveController } from '../../../core/control/prove-controller.ts';
import { readAuthority } from '../../../core/credentials/authority-files.ts';
import { signStatement } from '../../../core/credentials/signed-statement.ts';
import { Fleet } from '../../../core/fleet/fleet.ts';
import type { RemoteProgram } from '../../../core/fleet/host-connection.ts';
import type { FleetManifest } from '../../../core/lab/manifest.ts';

export interface Said {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** The test's own SSH into every host of the lab; the control plane may be dead meanwhile. */
export class LabHosts {
  readonly #fleet: Fleet;
  readonly #home: string;
  readonly #agents = new Map<string, Promise<Client<AgentContract>>>();

  /** `home` is the control plane's: agents answer whoever proves to hold the key of its authority. */
  constructor(manifest: FleetManifest, home: string) {
    this.#home = home;
    const blob = manifest.sshHostKey.split(' ').find((word) => word.startsWith('AAAA')) ?? '';
    const fingerprint = createHash('sha256').update(Buffer.from(blob, 'base64')).digest('base64');
    this.#fleet = new Fleet(inventoryOf(manifest, fingerprint.replace(/=+$/, '')));
  }

  /** Runs a shell script on a host to its end. @throws Error after `limitMs`. */
  async run(
    host: string,
    script: string,
    options: { input?: string | Buffer; limitMs?: number } = {},
  ): Promise<Said> {
    const program = await this.start(host, script);
    const said = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    program.stdout.on('data', (chunk: Buffer) => said.stdout.push(chunk));
    program.stderr.on('data', (chunk: Buffer) => said.stderr.push(chunk));
    program.stdin.end(options.input ?? '');
    const limitMs = options.limitMs ?? 20_000;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), limitMs);
    });
    const code = await Promise.race([program.exited, late]);
    clearTimeout(timer);
    const text = (name: 'stdout' | 'stderr') => Buffer.concat(said[name]).toString('utf8');
    if (code === 'late') {
      program.kill();
      throw new Error(
        `On ${host} this took longer than ${limitMs} ms: ${script}\n${text('stdout')}${text('stderr')}`,
      );
    }
    return { code, stdout: text('stdout'), stderr: text('stderr') };
  }

  /** Starts a shell script on a host and leaves it running. */
  async start(host: string, script: string): Promise<RemoteProgram> {
    const connection = await this.#fleet.connection(host);
    return connection.start(script);
  }

  async write(host: string, path: string, content: string | Buffer): Promise<void> {
    const connection = await this.#fleet.connection(host);
    await connection.writeFile(path, content, 0o600);
  }

  /** A TCP connection that a host of the lab makes, with this end here. */
  async tcp(host: string, address: string, port: number): Promise<Duplex> {
    const connection = await this.#fleet.connection(host);
    return connection.forwardTcp(address, port);
  }

  /** A connection to a unix socket on a host, with this end here. */
  async socket(host: string, at: string): Promise<Duplex> {
    const connection = await this.#fleet.connection(host);
    return connection.forwardSocket(at);
  }

  /** Calls of a host's agent, the way that the control plane makes them. */
  agent(host: string): Promise<Client<AgentContract>> {
    const known = this.#agents.get(host);
    if (known) return known;
    const dialling = (async () => {
      const client = await dialAgent(this.#fleet, host);
      await proveController(host, client, await this.#authority());
      return client;
    })();
    this.#agents.set(host, dialling);
    const drop = () => {
      if (this.#agents.get(host) === dialling) this.#agents.delete(host);
    };
    dialling.then((client) => void client.closed.then(drop), drop);
    return dialling;
  }

  async #authority(): Promise<Parameters<typeof proveController>[2]> {
    const passphrase = await readPassphrase(this.#home, {});
    const { certificate, signingKey } = await readAuthority(path.join(this.#home, 'authority'), passphrase);
    return {
      certificate,
      signStatement: (purpose, statement) => signStatement(signingKey, purpose, statement),
    };
  }

  async close(): Promise<void> {
    for (const dialling of [...this.#agents.values()]) (await dialling.catch(() => undefined))?.close();
    await this.#fleet.close();
  }
}
