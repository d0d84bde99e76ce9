import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { MoveError } from '../runtime/errors.ts';
import { type Random, secureRandom } from '../runtime/random.ts';
import type { DialOut } from './port.ts';

/** What criu marks packets with that it sends itself, to bring a socket into its state (criu's own network lock lets them pass, too). */
const criuMark = '0xc114';
const answerLimitMs = 3000;
const answerLimitBytes = 65536;

/**
 * The packet filter of one pod's network namespace, spoken to through one held `nft -i`. Starting a
 * program for each change costs 6 to 30 ms on the hot path of a move; a held one answers in under 1.
 *
 * Rules: processes of the pod may talk to each other, but for the moments of a dump or a restore. From outside, new connections may come
 * only to the service's ports; outwards go only packets of connections that came in here, and new ones to where the
 * service's file lets it dial out. So a service never calls anybody else, and packets of old direct connections that a restored pod still believes
 * in never leave the new site, which they would give away. "Came in here" is a connection mark drawn
 * afresh for every namespace: the state `established` will not do, because the kernel takes a connection
 * that it sees in its middle for one. The chain `gate` is empty or drops everything: the fence.
 */
export class PacketFilter {
  readonly namespace: string;
  #child: ChildProcessWithoutNullStreams | undefined;
  #identity = 0;
  #answer = '';
  #trouble = '';
  #wake: () => void = () => undefined;
  #turn: Promise<unknown> = Promise.resolve();

  readonly #random: Random;

  constructor(namespace: string, random: Random = secureRandom) {
    this.namespace = namespace;
    this.#random = random;
  }

  /** Puts the rules in place, fenced, replacing any earlier ones in one transaction. */
  async install(ports: readonly number[], dialOut: readonly DialOut[] = []): Promise<void> {
    const mark = `0x${(this.#random.below(0xfffffffe) + 1).toString(16)}`;
    const opening = `tcp dport { ${ports.join(', ')} } tcp flags & (syn|ack) == syn ct state new`;
    const open = ports.length > 0 ? `${opening} ct mark set ${mark} accept; ` : '';
    const dialled = dialOut
      .map(
        ({ address, port }) =>
          `ip daddr ${address} tcp dport ${port} tcp flags & (syn|ack) == syn ct state new ct mark set ${mark} accept; `,
      )
      .join('');
    await this.#run(
      `table inet move_pod { }; delete table inet move_pod; table inet move_pod { ` +
        'chain gate { drop; }; ' +
        'chain inner { }; ' +
        'chain incoming { type filter hook input priority 0; policy drop; ' +
        `iif "lo" jump inner; iif "lo" accept; jump gate; ct mark ${mark} accept; ${open}}; ` +
        'chain outgoing { type filter hook output priority 0; policy drop; ' +
        `oif "lo" jump inner; oif "lo" accept; jump gate; ct mark ${mark} accept; ${dialled}}; }`,
    );
  }

  async fence(): Promise<void> {
    const gate = await this.#run('flush chain inet move_pod gate; add rule inet move_pod gate drop');
    if (!gate.includes('drop')) throw this.#failure('the fence did not close');
  }

  async unfence(): Promise<void> {
    const gate = await this.#run('flush chain inet move_pod gate');
    if (gate.includes('drop')) throw this.#failure('the fence did not open');
  }

  /**
   * Stops packets between the pod's own processes too. While criu takes sockets out or puts them back one
   * after the other, a packet to one that is not there yet would be answered by a reset.
   */
  async still(): Promise<void> {
    await this.#run(
      `flush chain inet move_pod inner; add rule inet move_pod inner meta mark != ${criuMark} drop`,
    );
  }

  async stir(): Promise<void> {
    await this.#run('flush chain inet move_pod inner');
  }

  async isFenced(): Promise<boolean> {
    return (await this.#run('')).includes('drop');
  }

  close(): void {
    this.#child?.stdin.end();
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  #failure(reason: string): MoveError {
    return new MoveError(
      'POD_FENCE_FAILED',
      `The pod's packet filter did not obey (${reason}). Check that nftables works on this host.`,
      { namespace: this.namespace, reason },
    );
  }

  /** Runs one line and returns the gate as it is afterwards; callers take turns. */
  #run(line: string): Promise<string> {
    const turn = this.#turn.then(() => this.#exchange(line));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #exchange(line: string): Promise<string> {
    // A pod that comes back has another namespace under the same name; a held nft would rule the old one.
    const identity = statSync(this.namespace).ino;
    if (this.#child && identity !== this.#identity) this.close();
    this.#identity = identity;
    const child = this.#child ?? this.#open();
    this.#answer = '';
    this.#trouble = '';
    child.stdin.write(`${line === '' ? '' : `${line}\n`}list chain inet move_pod gate\n`);
    const deadline = performance.now() + answerLimitMs;
    while (!this.#answer.endsWith('}\n}\n')) {
      const left = deadline - performance.now();
      if (
        this.#trouble !== '' ||
        this.#child !== child ||
        left <= 0 ||
        this.#answer.length > answerLimitBytes
      ) {
        this.close();
        throw this.#failure(this.#trouble.trim().slice(0, 400) || (left <= 0 ? 'no answer' : 'it ended'));
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    if (this.#trouble !== '') throw this.#failure(this.#trouble.trim().slice(0, 400));
    return this.#answer;
  }

  #open(): ChildProcessWithoutNullStreams {
    const child = spawn('nsenter', [`--net=${this.namespace}`, 'nft', '-i'], { stdio: 'pipe' });
    this.#child = child;
    const ended = (reason: string) => {
      if (this.#child !== child) return;
      this.#trouble ||= reason;
      this.#child = undefined;
      this.#wake();
    };
    child.stdout.on('data', (chunk: Buffer) => {
      this.#answer += chunk.toString('latin1');
      this.#wake();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      this.#trouble = (this.#trouble + chunk.toString('latin1')).slice(0, answerLimitBytes);
      this.#wake();
    });
    child.stdin.on('error', (error) => ended(error.message));
    child.on('error', (error) => ended(error.message));
    child.on('exit', (code, signal) => ended(`nft ended with ${code ?? signal}`));
    // The helper must not keep its program alive; an exchange under way does, by its timer.
    child.unref();
    for (const pipe of [child.stdin, child.stdout, child.stderr]) (pipe as Socket).unref();
    return child;
  }
}
