import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const resolver = createRequire(import.meta.url);

/**
 * Electron's executable, or null where it is not installed. The package `electron` is never loaded: that
 * alone would start a download. `ELECTRON_OVERRIDE_DIST_PATH` names another distribution.
 */
export function electronBinary(environment: NodeJS.ProcessEnv): string | null {
  let packageDirectory: string;
  try {
    packageDirectory = path.dirname(resolver.resolve('electron/package.json'));
  } catch {
    // Not installed: a production install leaves it out.
    return null;
  }
  const named = path.join(packageDirectory, 'path.txt');
  const usual =
    { darwin: 'Electron.app/Contents/MacOS/Electron', win32: 'electron.exe' }[process.platform as string] ??
    'electron';
  const relative = (fs.existsSync(named) && fs.readFileSync(named, 'utf8').trim()) || usual;
  const directory = environment.ELECTRON_OVERRIDE_DIST_PATH || path.join(packageDirectory, 'dist');
  return executable(path.join(directory, relative));
}

const browserNames = [
  'chromium',
  'chromium-browser',
  'google-chrome',
  'google-chrome-stable',
  'microsoft-edge',
] as const;

/** A Chromium-like browser: `CHROMIUM_BIN`, else the first on the path; null where there is none. */
export function chromiumBinary(environment: NodeJS.ProcessEnv): string | null {
  if (environment.CHROMIUM_BIN) return executable(environment.CHROMIUM_BIN);
  for (const directory of (environment.PATH ?? '').split(path.delimiter))
    for (const name of browserNames) {
      const found = directory && executable(path.join(directory, name));
      if (found) return found;
    }
  return null;
}

/** Whether a window can be shown at all. */
export function hasDisplay(environment: NodeJS.ProcessEnv): boolean {
  return process.platform !== 'linux' || Boolean(environment.DISPLAY || environment.WAYLAND_DISPLAY);
}

function executable(file: string): string | null {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile() ? file : null;
  } catch {
    // Absent or not executable: both mean that it cannot be used.
    return null;
  }
}
