import type { ChildProcess } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import { connectControl } from '../../control/attach.ts';
import { toMoveError } from '../../runtime/errors.ts';
import type { CommandContext } from '../command-context.ts';
import { startControlProcess } from '../control-process.ts';
import { stopProcess } from './stop-process.ts';

/** Milliseconds for the control plane and for the lab to end in order. */
const controlStopMs = 25_000;
/** A control plane that ends by itself is started again this often within a minute. */
const restartsPerMinute = 5;

/** What a command started because it did not run yet; what ran before is never touched. */
export interface Started {
  readonly lab: boolean;
  readonly control: boolean;
  /** Stops what was started, the control plane before the lab. Never throws: what fails is said. */
  takeDown(): Promise<void>;
}

/**
 * Sees to it that the lab and the control plane run: leaves alone what runs, starts the rest, and takes it
 * down again when the start fails half-way.
 */
export async function bringUp(
  context: CommandContext,
  options: { startControl: boolean; keepAlive?: boolean },
): Promise<Started> {
  const lab = await context.rooms.lab();
  let labStarted = false;
  let guard: ControlGuard | undefined;
  const takeDown = async () => {
    await guard?.stop();
    if (!labStarted) return;
    context.say('Taking the lab down.');
    await lab
      .stop({ home: context.home })
      .catch((thrown: unknown) => context.say(`The lab did not go down: ${toMoveError(thrown).message}`));
  };
  try {
    if (!(await lab.status(context.home)).running) {
      context.say('Bringing the lab up.');
      labStarted = true;
      await lab.start({ home: context.home, signal: context.signal });
    }
    const running = await connectControl(context.home, 'terminal');
    running?.close();
    if (!running && options.startControl) {
      context.say('Starting the control plane.');
      guard = new ControlGuard(context, options.keepAlive === true);
      await guard.start();
    }
  } catch (thrown) {
    await takeDown();
    throw thrown;
  }
  return { lab: labStarted, control: guard !== undefined, takeDown };
}

/** Keeps a control plane of our own running until it is told to stop. */
class ControlGuard {
  private readonly context: CommandContext;
  private readonly keepAlive: boolean;
  private child: ChildProcess | undefined;
  private starting: Promise<unknown> = Promise.resolve();
  private readonly stopping = new AbortController();
  private restarts: number[] = [];

  constructor(context: CommandContext, keepAlive: boolean) {
    this.context = context;
    this.keepAlive = keepAlive;
  }

  start(): Promise<void> {
    const signal = AbortSignal.any([this.context.signal, this.stopping.signal]);
    const started = startControlProcess({ ...this.context, signal }, { background: false }).then((child) => {
      this.child = child ?? undefined;
      if (child && this.keepAlive) child.once('exit', (code, how) => this.onEnd(code ?? how));
    });
    // A stop in the middle of a start waits for it; its fault belongs to whoever started.
    this.starting = started.catch(() => undefined);
    return started;
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    await this.starting;
    if (!this.child) return;
    this.context.say('Stopping the control plane.');
    if (!(await stopProcess(this.child, controlStopMs)))
      this.context.say(`The control plane did not stop within ${controlStopMs} ms and was killed.`);
  }

  private onEnd(how: number | string | null): void {
    if (this.stopping.signal.aborted) return;
    const now = performance.now();
    this.restarts = [...this.restarts.filter((at) => now - at < 60_000), now];
    if (this.restarts.length > restartsPerMinute) {
      this.context.say(`The control plane ended ${restartsPerMinute} times in a minute and is left alone.`);
      return;
    }
    this.context.say(`The control plane ended (${how}) and is started again; lab and services run on.`);
    pause(250, undefined, { signal: this.stopping.signal })
      .then(() => this.start())
      .catch((thrown: unknown) => {
        if (!this.stopping.signal.aborted) this.context.say(toMoveError(thrown).message);
      });
  }
}
