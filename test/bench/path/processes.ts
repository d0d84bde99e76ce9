import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';

const ticksPerSecond = 100;
const readyMs = 15_000;

/** The processes of a bench: whatever began through it has ended after `end`. */
export class BenchProcesses {
  readonly #children: ChildProcess[] = [];

  /** Starts a program; its complaints go to stderr. */
  start(program: string, words: readonly string[], input?: string): ChildProcess {
    const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin!.end(input ?? '');
    this.#children.push(child);
    return child;
  }

  async end(): Promise<void> {
    await Promise.all(
      this.#children.map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const exited = once(child, 'exit');
        child.kill('SIGTERM');
        const timer = setTimeout(() => child.kill('SIGKILL'), 2000);
        await exited;
        clearTimeout(timer);
      }),
    );
  }
}

/** Waits until somebody accepts connections on a port of loopback. @throws Error after 15 s. */
export async function untilListening(port: number, host = '127.0.0.1'): Promise<void> {
  const deadline = performance.now() + readyMs;
  for (;;) {
    const socket = connect(port, host);
    const open = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    socket.destroy();
    if (open) return;
    if (performance.now() > deadline) throw new Error(`nothing listens on ${host}:${port}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The first line that a child prints, as JSON. @throws Error when it ends or 15 s pass without one. */
export async function firstLine<Line>(child: ChildProcess): Promise<Line> {
  const aborted = AbortSignal.timeout(readyMs);
  let text = '';
  for await (const chunk of child.stdout!.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    text += chunk;
    if (text.includes('\n')) break;
    aborted.throwIfAborted();
  }
  if (!text.includes('\n')) throw new Error('a process of the bench ended before it was ready');
  child.stdout!.resume();
  return JSON.parse(text.slice(0, text.indexOf('\n'))) as Line;
}

/** Seconds of processor that these processes and their children have taken so far, user and system. */
export function cpuSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + secondsOf(pid), 0);
}

function secondsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  const own = (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean),
  );
  return own + cpuSeconds(children.map(Number));
}
