import type { ChildProcess } from 'node:child_process';

/**
 * Ends a child process: SIGTERM, and SIGKILL after `limitMs`. Resolves when it has ended, at once when it
 * had already. Answers whether it went by itself.
 */
export async function stopProcess(child: ChildProcess, limitMs: number): Promise<boolean> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return true;
  let inTime = true;
  await new Promise<void>((resolve) => {
    const timer = setTimeout(() => {
      inTime = false;
      child.kill('SIGKILL');
    }, limitMs);
    child.once('exit', () => {
      clearTimeout(timer);
      resolve();
    });
    child.kill('SIGTERM');
  });
  return inTime;
}
