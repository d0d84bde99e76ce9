import { spawn } from 'node:child_process';

/**
 * Runs a program whose output is meant for people: its stdout and stderr both go to our stderr, so that
 * stdout stays clean for JSON. Resolves with the exit code (128 when a signal ended it or the time is up).
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{timeoutMs: number, env?: NodeJS.ProcessEnv, input?: string, cwd?: string, quiet?: boolean,
 *   inheritStdin?: boolean}} options `quiet` keeps the output and shows it only when the program fails.
 * @returns {Promise<number>}
 */
export function runLoud(command, args, options) {
  return new Promise((resolve) => {
    const output = options.quiet ? 'pipe' : process.stderr.fd;
    const stdin = options.input !== undefined ? 'pipe' : options.inheritStdin ? 'inherit' : 'ignore';
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env ?? process.env,
      stdio: [stdin, output, output],
    });
    /** @type {Buffer[]} */
    let kept = [];
    let keptBytes = 0;
    const keep = (/** @type {Buffer} */ chunk) => {
      kept.push(chunk);
      keptBytes += chunk.length;
      while (keptBytes > 65536 && kept.length > 1) keptBytes -= kept.shift()?.length ?? 0;
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs);
    child.on('error', (error) => {
      clearTimeout(timer);
      process.stderr.write(`${command}: ${error.message}\n`);
      resolve(127);
    });
    child.on('close', (code) => {
      clearTimeout(timer);
      const status = code ?? 128;
      if (status !== 0 && options.quiet) process.stderr.write(Buffer.concat(kept));
      kept = [];
      resolve(status);
    });
    if (child.stdin) {
      child.stdin.on('error', () => child.kill('SIGKILL'));
      child.stdin.end(options.input);
    }
  });
}

/** As {@link runLoud}, but anything except exit code 0 is an error that names the program. */
export async function mustRun(
  /** @type {string} */ command,
  /** @type {readonly string[]} */ args,
  /** @type {Parameters<typeof runLoud>[2]} */ options,
) {
  const status = await runLoud(command, args, options);
  if (status !== 0) throw new Error(`${command} ended with ${status}`);
}
