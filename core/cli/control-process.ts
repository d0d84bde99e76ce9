import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connectControl } from '../control/attach.ts';
import { prepareHome } from '../control/control-home.ts';
import { homeLockHolder } from '../control/home-lock.ts';
import { MoveError } from '../runtime/errors.ts';
import type { CommandContext } from './command-context.ts';
import { stopProcess } from './launch/stop-process.ts';

/** Milliseconds in which a started control plane must open its socket. */
const startDeadlineMs = 30_000;
/** Milliseconds that somebody else's start has to show when ours was refused because of it. */
const otherStartMs = 10_000;
const pollMs = 50;
/** Milliseconds for the orderly end of a start that was given up. */
const abandonedStopMs = 10_000;
/** Bytes of control.log after which it is put aside once. */
const maximumLogBytes = 8 * 1024 * 1024;

/** Where a control plane writes what it has to say. */
export const controlLogPath = (home: string) => path.join(home, 'control.log');

/**
 * Starts `move serve` as a process of its own, in its own process group so that Ctrl-C does not reach it,
 * and waits until its socket answers. In the background it outlives this process. Answers null where
 * another start was quicker and its control plane is the one that runs.
 * @throws MoveError `CONTROL_FAILED` with the end of its log when it does not come up.
 */
export async function startControlProcess(
  context: Pick<CommandContext, 'home' | 'self' | 'environment' | 'signal'>,
  options: { background: boolean },
): Promise<ChildProcess | null> {
  prepareHome(context.home);
  const log = openLog(context.home);
  const [program = process.execPath, ...args] = context.self;
  const child = spawn(program, [...args, 'serve', '--home', context.home], {
    detached: true,
    stdio: ['ignore', log, log],
    env: context.environment,
  });
  fs.closeSync(log);
  const failed = new Promise<never>((_resolve, reject) => {
    child.once('error', (cause) => reject(failure(context.home, cause.message)));
  });
  failed.catch(() => undefined);
  if (options.background) child.unref();
  const isOurs = await Promise.race([waitForSocket(context, child), failed]);
  return isOurs ? child : null;
}

async function waitForSocket(
  context: Pick<CommandContext, 'home' | 'signal'>,
  child: ChildProcess,
): Promise<boolean> {
  let deadline = performance.now() + startDeadlineMs;
  let ended = false;
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
  while (performance.now() < deadline) {
    const port = await connectControl(context.home, 'terminal');
    if (port) {
      port.close();
      if (isHolder(context.home, child)) return true;
      // Somebody else's control plane answers; ours is about to find that out and to end.
      if (hasEnded()) return false;
    }
    if (context.signal.aborted) {
      await stopProcess(child, abandonedStopMs);
      throw new MoveError('CANCELLED', 'Starting the control plane was cancelled.');
    }
    if (!ended && hasEnded()) {
      ended = true;
      // Another start may have won the lock; then its socket is about to answer.
      if (!lastLines(context.home).includes('CONTROL_RUNNING'))
        throw failure(context.home, `it ended with ${child.exitCode ?? child.signalCode}`);
      deadline = Math.min(deadline, performance.now() + otherStartMs);
    }
    await pause(pollMs);
  }
  if (!ended) await stopProcess(child, abandonedStopMs);
  throw failure(context.home, `its socket did not answer within ${startDeadlineMs} ms`);
}

function isHolder(home: string, child: ChildProcess): boolean {
  try {
    return homeLockHolder(home) === child.pid;
  } catch (thrown) {
    if (thrown instanceof MoveError && thrown.code === 'CONTROL_STARTING') return false;
    throw thrown;
  }
}

function openLog(home: string): number {
  const file = controlLogPath(home);
  if (fs.existsSync(file) && fs.statSync(file).size > maximumLogBytes) fs.renameSync(file, `${file}.1`);
  return fs.openSync(file, 'a', 0o600);
}

function lastLines(home: string): string {
  const text = fs.readFileSync(controlLogPath(home), 'utf8');
  return text.slice(-2000);
}

function failure(home: string, reason: string): MoveError {
  return new MoveError(
    'CONTROL_FAILED',
    `The control plane did not start: ${reason}. ${controlLogPath(home)} has the full story, "move doctor" lists what is missing.`,
    { home, log: lastLines(home) },
  );
}
