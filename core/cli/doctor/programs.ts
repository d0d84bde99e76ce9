import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { cacheDirectory } from '../../lab/paths.ts';
import { degraded, missing, ok, type Requirement } from './requirement.ts';

const install = 'Run "npm start" and let it install the Debian packages.';

/** Programs without which nothing moves, by what they are needed for. */
const needed: Record<string, string> = {
  ssh: 'the way to every host',
  '/usr/sbin/sshd': 'the other end of that way',
  ip: 'links and addresses',
  tc: 'queues',
  nft: 'packet rules',
  ethtool: 'offloads',
  nsenter: 'entering namespaces',
  ss: 'seeing who asks a service',
  unshare: 'making namespaces',
  tini: 'the first process of a lab host',
  socat: 'joining sockets',
  sshfs: 'lifelines',
};

function find(program: string): string | null {
  const candidates = program.startsWith('/')
    ? [program]
    : [...(process.env.PATH ?? '').split(path.delimiter), '/usr/sbin', '/sbin'].map((each) =>
        path.join(each, program),
      );
  return candidates.find(isExecutable) ?? null;
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The programs of the system, and what set-up makes itself. */
export function programRequirements(): Requirement[] {
  const absent = Object.entries(needed).filter(([program]) => find(program) === null);
  const tools =
    absent.length === 0
      ? ok('programs', `All ${Object.keys(needed).length} programs are there.`)
      : missing(
          'programs',
          `These are missing: ${absent.map(([name, why]) => `${name} (${why})`).join(', ')}.`,
          install,
        );
  const made = [
    'native/labkeeper',
    'native/delayd',
    'native/gateway',
    'native/norlimit-shim.so',
    'images/apache',
  ];
  const unmade = made.filter((name) => !existsSync(path.join(cacheDirectory(), name)));
  const helpers =
    unmade.length === 0
      ? ok('helpers', `The native helpers and the pod image are in ${cacheDirectory()}.`)
      : missing(
          'helpers',
          `Not in ${cacheDirectory()}: ${unmade.join(', ')}.`,
          'Run "npm start" once: it makes them.',
        );
  return [tools, helpers];
}

/**
 * Electron's binary, looked up as files only: loading the package would start a download.
 * ELECTRON_OVERRIDE_DIST_PATH is honoured.
 */
export function electronBinary(environment: NodeJS.ProcessEnv = process.env): string | null {
  let directory: string;
  try {
    directory = path.dirname(createRequire(import.meta.url).resolve('electron/package.json'));
  } catch {
    // the package is a development dependency: an installed product may do without it
    return null;
  }
  const name = path.join(directory, 'path.txt');
  const relative = existsSync(name) ? readFileSync(name, 'utf8').trim() : '';
  const binary = path.join(
    environment.ELECTRON_OVERRIDE_DIST_PATH || path.join(directory, 'dist'),
    relative || 'electron',
  );
  return isExecutable(binary) ? binary : null;
}

/** Chromium or a relative of it; CHROMIUM_BIN is honoured. */
export function chromiumBinary(environment: NodeJS.ProcessEnv = process.env): string | null {
  const named = environment.CHROMIUM_BIN;
  if (named && isExecutable(named)) return named;
  const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'microsoft-edge'];
  for (const name of names) {
    const found = find(name);
    if (found) return found;
  }
  return null;
}

/** Where the console's window can open. */
export function windowRequirements(environment: NodeJS.ProcessEnv = process.env): Requirement[] {
  const electron = electronBinary(environment);
  const chromium = chromiumBinary(environment);
  const display = environment.WAYLAND_DISPLAY ?? environment.DISPLAY;
  return [
    electron
      ? ok('electron', `Electron is ${electron}.`)
      : degraded(
          'electron',
          'Electron has no binary here; the console opens in a Chromium window instead.',
          'Install it with "npx install-electron" where downloads work, or set ELECTRON_OVERRIDE_DIST_PATH.',
        ),
    chromium
      ? ok('chromium', `Chromium is ${chromium}.`)
      : electron
        ? degraded('chromium', 'There is no Chromium; browser tests cannot run.', install)
        : missing(
            'chromium',
            'There is neither Electron nor Chromium; open the printed address yourself.',
            install,
          ),
    display
      ? ok('display', `The display is ${display}.`)
      : degraded(
          'display',
          'There is no display; the console is served on loopback and prints an address.',
          'Start it in a graphical session, or open the printed address in a browser.',
        ),
  ];
}
