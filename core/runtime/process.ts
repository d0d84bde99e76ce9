import { spawn } from 'node:child_process';
import { MoveError } from './errors.ts';

export interface RunOptions {
  /** Milliseconds until the program is killed with SIGKILL. Required: nothing runs without a limit. */
  timeoutMs: number;
  input?: string | Buffer;
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  signal?: AbortSignal;
  /** Bytes of stdout and stderr that are kept, each; the rest is read and dropped. Default 1 MiB. */
  maxOutputBytes?: number;
}

export interface RunResult {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  timedOut: boolean;
}

/**
 * Runs an external program without a shell and returns how it ended, whatever its exit code.
 * @throws MoveError `PROGRAM_MISSING` when it cannot be started, `CANCELLED` when `signal` fires.
 */
export function runProgram(
  command: string,
  args: readonly string[],
  options: RunOptions,
): Promise<RunResult> {
  const limit = options.maxOutputBytes ?? 1 << 20;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { env: options.env ?? process.env, cwd: options.cwd, stdio: 'pipe' });
    const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    const kept = { stdout: 0, stderr: 0 };
    let timedOut = false;
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].on('data', (chunk: Buffer) => {
        const room = limit - kept[name];
        if (room <= 0) return;
        const part = chunk.length > room ? chunk.subarray(0, room) : chunk;
        kept[name] += part.length;
        output[name].push(part);
      });
    }
    const timer = setTimeout(() => {
      timedOut = true;
      child.kill('SIGKILL');
    }, options.timeoutMs);
    const cancel = () => child.kill('SIGKILL');
    options.signal?.addEventListener('abort', cancel, { once: true });
    const settle = () => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', cancel);
    };
    child.on('error', (cause: NodeJS.ErrnoException) => {
      settle();
      reject(
        new MoveError(
          'PROGRAM_MISSING',
          `The program ${command} could not be started. Run "npm run -s move -- doctor" to see what is missing.`,
          { command, reason: cause.code ?? cause.message },
          cause,
        ),
      );
    });
    child.on('close', (code, signal) => {
      settle();
      if (options.signal?.aborted) {
        reject(new MoveError('CANCELLED', `Running ${command} was cancelled.`, { command }));
        return;
      }
      resolve({
        code,
        signal,
        stdout: Buffer.concat(output.stdout).toString('utf8'),
        stderr: Buffer.concat(output.stderr).toString('utf8'),
        timedOut,
      });
    });
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input);
    if (options.signal?.aborted) cancel();
  });
}

/**
 * As {@link runProgram}, but a non-zero exit or a time-out is an error.
 * @throws MoveError `PROGRAM_FAILED` with the end of stderr in its details.
 */
export async function runChecked(
  command: string,
  args: readonly string[],
  options: RunOptions,
): Promise<RunResult> {
  const result = await runProgram(command, args, options);
  if (result.code !== 0) {
    const reason = result.timedOut
      ? `took longer than ${options.timeoutMs} ms`
      : `ended with ${result.code ?? result.signal}`;
    throw new MoveError('PROGRAM_FAILED', `${command} ${reason}.`, {
      command,
      args: args.join(' '),
      code: result.code,
      stderr: result.stderr.slice(-2000),
    });
  }
  return result;
}
