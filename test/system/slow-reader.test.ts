import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { watchMemory } from '../bench/limits/memory.ts';
import { issueBenchIdentities } from '../bench/path/identities.ts';
import { startOrigin } from '../bench/path/origin.ts';
import { startOverlayChain } from '../bench/path/overlay-chain.ts';
import { BenchProcesses } from '../bench/path/processes.ts';
import { gatewayObstacle } from '../compliance/pod-runtime/gateway-fixture.ts';
import { cliProgram } from './world/control-process.ts';

const megabyte = 1_000_000;
const fileBytes = 1024 * megabyte;
const names = ['forwarder', 'access point', 'servlet', 'site', 'gateway'];
const why =
  gatewayObstacle() ??
  (existsSync(cliProgram) ? undefined : 'the product is not built') ??
  (existsSync('/usr/sbin/apache2') ? undefined : 'there is no Apache');

/** Asks for a file and reads it only as far as `read` says; counts what came. */
class Reader {
  readonly #socket: Socket;
  bytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(port: number, path: string) {
    this.#socket = connect({ host: '127.0.0.1', port });
    this.#socket.on('data', (part: Buffer) => {
      this.bytes += part.length;
    });
    this.#socket.on('error', () => undefined);
    this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n`);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#socket.pause();
  }

  /** Reads about so many bytes a second. */
  trickle(bytesPerSecond: number): void {
    let due = this.bytes;
    this.#timer = setInterval(() => {
      due += bytesPerSecond / 20;
      if (this.bytes < due) this.#socket.resume();
      else this.#socket.pause();
    }, 50);
  }

  /** Reads all that is left as fast as it comes. */
  async drain(): Promise<void> {
    clearInterval(this.#timer);
    const closed = new Promise((resolve) => this.#socket.once('close', resolve));
    this.#socket.resume();
    await closed;
  }

  destroy(): void {
    clearInterval(this.#timer);
    this.#socket.destroy();
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.skipIf(why !== undefined)(`the path under slow readers${why ? ` (${why})` : ''}`, () => {
  let directory: string;
  let processes: BenchProcesses;
  let chain: Awaited<ReturnType<typeof startOverlayChain>>;
  const readers: Reader[] = [];
  const reader = (path: string) => {
    const made = new Reader(chain.port, path);
    readers.push(made);
    return made;
  };

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'move-slow-reader-'));
    chmodSync(directory, 0o755);
    processes = new BenchProcesses();
    const origin = await startOrigin(directory, processes, {
      oneStreamMegabytes: fileBytes / megabyte,
      eachOfEightMegabytes: 64,
    });
    const identities = await issueBenchIdentities(directory);
    chain = await startOverlayChain(directory, processes, identities, origin.port);
    // Every process has carried something before it is measured.
    await reader('/eighth').drain();
  });

  afterAll(async () => {
    for (const each of readers) each.destroy();
    await processes?.end();
    if (directory) rmSync(directory, { recursive: true, force: true });
  });

  it('a slow reader of 1 GB makes no process grow by more than 64 MB', async () => {
    const memory = chain.pids.map((pid) => watchMemory(pid));
    const slow = reader('/one');
    slow.trickle(megabyte);
    await pause(2000);
    slow.stop();
    const readSlowly = slow.bytes;
    // A second long after the pause began nothing moves any more, in no process.
    await pause(3000);
    expect(slow.bytes - readSlowly).toBeLessThan(megabyte);
    await slow.drain();
    expect(slow.bytes).toBeGreaterThan(fileBytes);
    expect(slow.bytes).toBeLessThan(fileBytes + 1000);
    const grown = Object.fromEntries(
      names.map((name, index) => [name, Math.round(memory[index]!.growth() / megabyte)]),
    );
    console.log(`a slow reader of 1 GB: megabytes grown ${JSON.stringify(grown)}`);
    for (const name of names) expect(grown[name], name).toBeLessThan(64);
  }, 50_000);

  it('seven bulk streams on one link do not starve a small request', async () => {
    const agent = new Agent({ keepAlive: true });
    const ask = () =>
      new Promise<number>((resolve, reject) => {
        const begun = performance.now();
        request({ host: '127.0.0.1', port: chain.port, path: '/page', agent }, (answer) => {
          answer.resume();
          answer.on('end', () => resolve(performance.now() - begun));
        })
          .on('error', reject)
          .end();
      });
    const measure = async (count: number) => {
      const sample: number[] = [];
      for (let index = 0; index < count; index += 1) sample.push(await ask());
      sample.sort((left, right) => left - right);
      return { p50Ms: sample[Math.floor(count / 2)]!, p99Ms: sample[Math.floor(count * 0.99)]! };
    };
    await measure(50);
    const alone = await measure(200);
    const bulk = Array.from({ length: 7 }, () => reader('/one'));
    // One of the seven does not read at all.
    bulk[0]!.stop();
    await pause(300);
    const before = bulk.map(({ bytes }) => bytes);
    const begun = performance.now();
    const beside = await measure(100);
    const seconds = (performance.now() - begun) / 1000;
    const rates = bulk.map(({ bytes }, index) => (bytes - before[index]!) / megabyte / seconds);
    for (const each of bulk) each.destroy();
    agent.destroy();
    const two = (value: number) => Number(value.toFixed(2));
    console.log(
      `a small request: alone p50 ${two(alone.p50Ms)} p99 ${two(alone.p99Ms)} ms; beside seven bulk streams p50 ${two(beside.p50Ms)} p99 ${two(beside.p99Ms)} ms; MB/s of each ${rates.map(two).join(' ')}`,
    );
    expect(beside.p50Ms).toBeLessThan(50);
    expect(beside.p99Ms).toBeLessThan(500);
    // The six that read share the link: none gets less than a third of what another gets.
    const reading = rates.slice(1);
    expect(Math.min(...reading)).toBeGreaterThan(Math.max(...reading) / 3);
  }, 50_000);
});
