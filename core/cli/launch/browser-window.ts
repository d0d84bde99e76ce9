import { type ChildProcess, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { stopProcess } from './stop-process.ts';

/** A window that was opened: ends when the person closes it, or when it is told to. */
export interface OpenedWindow {
  readonly closed: Promise<void>;
  close(): Promise<void>;
}

const windowStopMs = 3000;

/** Watches a window's process; `cleanUp` runs once, after it has ended. */
export function watchWindow(child: ChildProcess, cleanUp: () => void): OpenedWindow {
  const closed = new Promise<void>((resolve, reject) => {
    child.once('error', (error) => {
      cleanUp();
      reject(error);
    });
    child.once('exit', () => {
      cleanUp();
      resolve();
    });
  });
  closed.catch(() => undefined);
  return {
    closed,
    async close() {
      await stopProcess(child, windowStopMs);
    },
  };
}

/**
 * Opens an address as an application window of Chromium with a profile of its own, which is removed
 * afterwards. Its sandbox stays on except for root, for whom Chromium has none.
 */
export function openBrowserWindow(
  program: string,
  address: string,
  environment: NodeJS.ProcessEnv,
): OpenedWindow {
  const profile = fs.mkdtempSync(path.join(os.tmpdir(), 'move-console-window-'));
  const child = spawn(
    program,
    [
      `--app=${address}`,
      `--user-data-dir=${profile}`,
      '--window-size=1440,900',
      '--no-first-run',
      '--no-default-browser-check',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-quic',
      '--disable-extensions',
      '--no-proxy-server',
      // The second switch takes away the bar that warns of the first one.
      ...(process.getuid?.() === 0 ? ['--no-sandbox', '--test-type'] : []),
    ],
    { stdio: 'ignore', env: environment },
  );
  return watchWindow(child, () =>
    // Chromium's helpers may still be writing when its first process has ended.
    fs.rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 }),
  );
}

/** Opens Electron on the product, for the given state directory. */
export function openElectronWindow(
  program: string,
  root: string,
  home: string,
  environment: NodeJS.ProcessEnv,
): OpenedWindow {
  const child = spawn(program, [root], {
    stdio: ['ignore', process.stderr.fd, process.stderr.fd],
    env: { ...environment, MOVE_HOME: home },
  });
  return watchWindow(child, () => undefined);
}
