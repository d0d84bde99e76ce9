import { spawn } from 'node:child_process';
import os from 'node:os';

/**
 * Hands over to a program as far as Node can: its standard streams are ours, signals sent to us reach it,
 * and we end as it ends, by the same code or the same signal.
 */
export function handOver(/** @type {string} */ command, /** @type {string[]} */ args) {
  const child = spawn(command, args, { stdio: 'inherit' });
  const signals = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2']);
  for (const signal of signals) {
    process.on(signal, () => {
      // Ctrl-C on a terminal has reached the child already: twice would mean something else to it
      if (signal !== 'SIGINT' || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on('error', (error) => {
    process.stderr.write(`move: ${command} cannot be started: ${error.message}\n`);
    process.exit(127);
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    for (const name of signals) process.removeAllListeners(name);
    process.kill(process.pid, signal);
    // a signal that does not end us (or is ignored) still has to show in the exit code
    setTimeout(() => process.exit(128 + (os.constants.signals[signal] ?? 0)), 100);
  });
}
