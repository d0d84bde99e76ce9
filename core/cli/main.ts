import readline from 'node:readline';
import { allCommands } from './commands/all-commands.ts';
import { loadedRooms } from './load-rooms.ts';
import { runMove } from './run.ts';
import { askSecret } from './terminal-secret.ts';

const stop = new AbortController();
let interruptions = 0;
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(name, () => {
    stop.abort();
    interruptions += 1;
    // Somebody who asks three times has no patience for an orderly end.
    if (interruptions === 3) process.exit(130);
  });
// A reader that went away, as in "move journal --follow | head", ends the command and is no fault.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    stop.abort();
  });

process.exitCode = await runMove(allCommands, process.argv.slice(2), {
  print: (value) => process.stdout.write(`${JSON.stringify(value)}\n`),
  say: (line) => process.stderr.write(`${line}\n`),
  askSecret,
  ...(process.stdin.isTTY
    ? {
        onLine: (listener: () => void) => {
          const lines = readline.createInterface({ input: process.stdin });
          lines.on('line', listener);
          stop.signal.addEventListener('abort', () => lines.close(), { once: true });
        },
      }
    : {}),
  environment: process.env,
  signal: stop.signal,
  self: [process.execPath, ...process.execArgv, process.argv[1] ?? ''],
  rooms: loadedRooms,
});
if (stop.signal.aborted && process.exitCode === 1) process.exitCode = 130;
