import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Client } from '../../../core/contract/channel.ts';
import type { Contract } from '../../../core/contract/contract.ts';
import {
  applyChanges,
  type ConsoleState,
  emptyState,
  type StateMessage,
} from '../../../core/contract/state.ts';
import { attachControl } from '../../../core/control/attach.ts';
import { until } from './conditions.ts';

export const cliProgram = path.resolve(import.meta.dirname, '../../../dist/cli.mjs');

/** libfaketime: the clock that a program is told is off by what stands in a file. Its monotonic clock stays right. */
const fakeTime = '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1';
const clockFile = (home: string) => path.join(home, 'clock');

const readyLimitMs = 90_000;

/** The real control plane as a process of its own, and a typed client that is attached to it. */
export class ControlProcess {
  readonly home: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #client: Client<Contract> | null = null;
  #state: ConsoleState = emptyState();

  private constructor(home: string, child: ChildProcess) {
    this.home = home;
    this.#child = child;
    this.#ended = new Promise((resolve) => child.once('close', () => resolve()));
  }

  /** Spawns `move serve` and returns at once; `ready` waits for it. */
  static spawn(home: string, jumpingClock = false): ControlProcess {
    const log = openSync(path.join(home, 'control.log'), 'a', 0o600);
    if (jumpingClock) writeFileSync(clockFile(home), '+0');
    const child = spawn(process.execPath, [cliProgram, 'serve', '--home', home], {
      stdio: ['ignore', 'pipe', log],
      env: jumpingClock
        ? {
            ...process.env,
            LD_PRELOAD: fakeTime,
            FAKETIME_TIMESTAMP_FILE: clockFile(home),
            FAKETIME_CACHE_DURATION: '1',
            FAKETIME_DONT_FAKE_MONOTONIC: '1',
          }
        : process.env,
    });
    closeSync(log);
    return new ControlProcess(home, child);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Waits for the ready line, which comes when all hosts have been reached, and attaches. */
  async ready(): Promise<void> {
    const line = await new Promise<string>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`The control plane was not ready in time.\n${this.log()}`)),
        readyLimitMs,
      );
      const settle = (act: () => void) => {
        clearTimeout(timer);
        act();
      };
      if (this.#child.stdout)
        createInterface({ input: this.#child.stdout }).once('line', (text) => settle(() => resolve(text)));
      void this.#ended.then(() =>
        settle(() => reject(new Error(`The control plane ended by itself.\n${this.log()}`))),
      );
    });
    if (JSON.parse(line).ready !== true) throw new Error(`The control plane said ${line}`);
    await this.#attach();
  }

  get client(): Client<Contract> {
    if (!this.#client) throw new Error('Nobody is attached to the control plane.');
    return this.#client;
  }

  /** The console's state as the stream has told it up to now. */
  get state(): ConsoleState {
    return this.#state;
  }

  /** Sets its clock so many seconds off, 0 for right again. Only where it was spawned with a clock that jumps. */
  jumpClock(seconds: number): void {
    writeFileSync(clockFile(this.home), `${seconds < 0 ? '' : '+'}${seconds}`);
  }

  /** The end of what it said. */
  log(): string {
    return readFileSync(path.join(this.home, 'control.log'), 'utf8').slice(-4000);
  }

  /** kill -9, as a machine that loses its power does it. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
    this.#detach();
  }

  /** An orderly end. */
  async stop(): Promise<void> {
    this.#detach();
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 25_000);
    await this.#ended;
    clearTimeout(timer);
  }

  async #attach(): Promise<void> {
    this.#client = await until(
      'the socket of the control plane',
      () => attachControl(this.home, 'terminal'),
      5_000,
    );
    const first = Promise.withResolvers<void>();
    this.#client.listen('state', {}, (received) => {
      const message = received as unknown as StateMessage;
      this.#state = message.kind === 'snapshot' ? message.state : applyChanges(this.#state, message.changes);
      first.resolve();
    });
    await first.promise;
  }

  #detach(): void {
    this.#client?.close();
    this.#client = null;
  }
}
