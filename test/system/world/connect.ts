import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import type { OutputOf } from '../../../core/contract/contract.ts';
import type { RemoteProgram } from '../../../core/fleet/host-connection.ts';
import type { ProbeOutcome } from '../../../core/measure/probe-sample.ts';
import type { ForwarderStatus } from '../../../core/overlay/forwarder/status.ts';
import type { LabHosts } from './lab-hosts.ts';

/** What `move connect` needs; without a PKCS#12 it is given the PEM files. */
export type IssuedCredential = Pick<
  OutputOf<'credential.issue'>,
  'certificatePem' | 'keyPem' | 'trustPem'
> & { pkcs12Base64?: string };

export const password = 'correct horse battery';

export interface Fetched {
  /** What curl ended with; 0 when there was a whole answer. */
  code: number | null;
  status: number;
  bytes: number;
  sha256: string;
  seconds: number;
}

/** `move connect` as a program on a client host. */
export class Connected {
  readonly host: string;
  readonly ready: {
    httpProxy: string;
    proxyAutoConfig: string;
    socksProxy: string;
    accessPoint: { name: string; address: string };
  };
  readonly #hosts: LabHosts;
  readonly #pidFile: string;
  #files = 0;

  private constructor(hosts: LabHosts, host: string, pidFile: string, ready: Connected['ready']) {
    this.#hosts = hosts;
    this.host = host;
    this.#pidFile = pidFile;
    this.ready = ready;
  }

  /**
   * Carries a credential to a client host and runs the forwarder there.
   * @throws Error with the forwarder's own error line as its message when it does not come up.
   */
  static async start(
    hosts: LabHosts,
    host: string,
    options: {
      credential: IssuedCredential;
      accessPoints: readonly string[];
      name: string;
      /** Fixed ports, as `move connect --forward` takes them. */
      forwards?: readonly string[];
      /** Further words of the command. */
      more?: string;
    },
  ): Promise<Connected> {
    const base = `/root/${options.name}`;
    const { certificatePem, keyPem, trustPem, pkcs12Base64 } = options.credential;
    await hosts.write(host, `${base}.trust.pem`, trustPem);
    let who = `--certificate ${base}.pem --key ${base}.key.pem`;
    if (pkcs12Base64 === undefined) {
      await hosts.write(host, `${base}.pem`, certificatePem);
      await hosts.write(host, `${base}.key.pem`, keyPem);
    } else {
      await hosts.write(host, `${base}.p12`, Buffer.from(pkcs12Base64, 'base64'));
      await hosts.write(host, `${base}.password`, password);
      who = `--pkcs12 ${base}.p12 --password-file ${base}.password`;
    }
    const forwards = (options.forwards ?? []).map((forward) => `--forward ${forward}`).join(' ');
    const ways = options.accessPoints.map((address) => `--access-point ${address}`).join(' ');
    const program = await hosts.start(
      host,
      `echo $$ > ${base}.pid; exec /opt/move/bin/move connect ${who} --trust ${base}.trust.pem ${ways} --http 127.0.0.1:0 --socks 127.0.0.1:0 ${forwards} ${options.more ?? ''}`,
    );
    return new Connected(hosts, host, `${base}.pid`, await firstLine(program));
  }

  /** Asks for a path of the service by curl through one of the forwarder's proxies. */
  async fetch(
    path: string,
    options: { limitSeconds?: number; proxy?: 'httpProxy' | 'socksProxy' } = {},
  ): Promise<Fetched> {
    const limit = options.limitSeconds ?? 5;
    const file = `/tmp/fetched-${this.#files++}`;
    const said = await this.#hosts.run(
      this.host,
      this.#curl(path, file, limit, '', this.ready[options.proxy ?? 'httpProxy']),
      {
        limitMs: (limit + 10) * 1000,
      },
    );
    return readFetched(said.stdout);
  }

  /** What the forwarder says that it is doing, and why. */
  async status(): Promise<ForwarderStatus> {
    const said = await this.#hosts.run(this.host, `curl -sf -m 5 ${this.ready.httpProxy}/status`);
    return JSON.parse(said.stdout) as ForwarderStatus;
  }

  /**
   * Keeps asking for a path every `periodMs` whether or not earlier requests were answered, as many people
   * would; `count` says how many have ended how. Right is what the first answer was.
   */
  async askOften(
    path: string,
    periodMs: number,
    service = 'shop.example',
  ): Promise<{ count(outcome: ProbeOutcome): number; stop(): Promise<void> }> {
    const [host, port] = this.ready.httpProxy.replace(/^http:\/\//, '').split(':');
    const program = await this.#hosts.start(
      this.host,
      'exec /opt/move/bin/node /opt/move/dist/agent.mjs probe',
    );
    const options = {
      url: `http://${service}${path}`,
      via: { kind: 'proxy', host, port: Number(port) },
      periodMs,
    };
    program.stdin.write(`${JSON.stringify(options)}\n`);
    const counts = new Map<string, number>();
    createInterface({ input: program.stdout }).on('line', (line) => {
      const outcome = (JSON.parse(line) as { sample?: { outcome: ProbeOutcome } }).sample?.outcome;
      if (outcome) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    });
    return {
      count: (outcome) => counts.get(outcome) ?? 0,
      async stop() {
        program.stdin.end();
        await program.exited;
      },
    };
  }

  /** Begins a download at a bounded speed; `arrived` says how far it is, `done` what became of it. */
  async download(
    path: string,
    options: { bytesPerSecond: number; limitSeconds: number },
  ): Promise<{ arrived(): Promise<number>; done: Promise<Fetched> }> {
    const file = `/tmp/fetched-${this.#files++}`;
    await this.#hosts.run(this.host, `: > ${file}`);
    const done = this.#hosts
      .run(
        this.host,
        this.#curl(path, file, options.limitSeconds, `--limit-rate ${options.bytesPerSecond}`),
        {
          limitMs: (options.limitSeconds + 10) * 1000,
        },
      )
      .then(({ stdout }) => readFetched(stdout));
    done.catch(() => undefined);
    const arrived = async () => Number((await this.#hosts.run(this.host, `stat -c %s ${file}`)).stdout);
    return { arrived, done };
  }

  /** Ends the forwarder and waits until its process is gone. */
  async stop(): Promise<void> {
    const script = `p=$(cat ${this.#pidFile}); kill -TERM $p; while kill -0 $p 2>/dev/null; do sleep 0.02; done`;
    await this.#hosts.run(this.host, script, { limitMs: 10_000 });
  }

  #curl(
    path: string,
    file: string,
    limitSeconds: number,
    more: string,
    proxy = this.ready.httpProxy,
  ): string {
    return [
      `curl -s -m ${limitSeconds} ${more} -x ${proxy} -o ${file} -w '%{exitcode} %{http_code} %{size_download} %{time_total} ' http://shop.example${path}`,
      `sha256sum < ${file}`,
      `rm -f ${file}`,
    ].join('; ');
  }
}

export const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');

function readFetched(text: string): Fetched {
  const [code, status, bytes, seconds, digest] = text.trim().split(/\s+/);
  return {
    code: Number(code),
    status: Number(status),
    bytes: Number(bytes),
    seconds: Number(seconds),
    sha256: digest ?? '',
  };
}

function firstLine(program: RemoteProgram): Promise<Connected['ready']> {
  return new Promise((resolve, reject) => {
    let complaints = '';
    program.stderr.on('data', (chunk: Buffer) => {
      complaints = (complaints + chunk.toString('utf8')).slice(-4000);
    });
    const timer = setTimeout(() => {
      program.kill();
      reject(new Error(`move connect was not ready within 20 s: ${complaints}`));
    }, 20_000);
    createInterface({ input: program.stdout }).once('line', (line) => {
      clearTimeout(timer);
      resolve(JSON.parse(line) as Connected['ready']);
    });
    void program.exited.then(() => {
      clearTimeout(timer);
      const last = complaints.trim().split('\n').at(-1) ?? '';
      reject(new Error(last));
    });
  });
}
