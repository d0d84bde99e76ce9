import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { browserImpossible } from '../support/chromium.ts';
import { labImpossible } from '../system/lab-fixture.ts';

export const projectRoot = fileURLToPath(new URL('../../', import.meta.url));
const cli = path.join(projectRoot, 'dist/cli.mjs');

/** How the tests in Playwright's workers find the console that was brought up for all of them. */
export const environmentNames = {
  home: 'MOVE_E2E_HOME',
  origin: 'MOVE_E2E_ORIGIN',
  address: 'MOVE_E2E_ADDRESS',
  cookie: 'MOVE_E2E_COOKIE',
  impossible: 'MOVE_E2E_IMPOSSIBLE',
} as const;

/** What the tests know about the running console. */
export interface RunningConsole {
  home: string;
  /** The browser host's origin, such as http://127.0.0.1:40123. */
  origin: string;
  /** The one-time address, which has been used. */
  address: string;
  /** The session that it was exchanged for, as `name=value`. */
  cookie: string;
}

/** Why the console cannot be brought up with its lab here, or null. */
export function consoleImpossible(): string | null {
  const browser = browserImpossible();
  if (browser) return browser;
  if (!existsSync(cli)) return 'the bundles are not built';
  const lab = labImpossible();
  if (lab) return lab;
  const setup = path.join(projectRoot, 'dist/setup.json');
  if (!existsSync(setup)) return null;
  const { degraded } = JSON.parse(readFileSync(setup, 'utf8')) as { degraded: { finding: string }[] };
  return degraded[0]?.finding ?? null;
}

/** Starts this very product's command line. */
export function startMove(home: string, words: readonly string[]): ChildProcess {
  return spawn(process.execPath, [cli, ...words], {
    cwd: projectRoot,
    env: { ...process.env, MOVE_HOME: home },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

/** The first line of JSON on a program's standard output; fails with its standard error when it ends before. */
export function firstLine<T>(child: ChildProcess, limitMs: number): Promise<T> {
  let complaints = '';
  child.stderr?.on('data', (chunk) => {
    complaints = `${complaints}${chunk}`.slice(-4_000);
  });
  return new Promise<T>((resolve, reject) => {
    const fail = (what: string) => reject(new Error(`${what}: ${complaints}`));
    const timer = setTimeout(() => fail(`no line within ${limitMs} ms`), limitMs);
    child.once('error', reject);
    child.once('exit', (code, signal) => fail(`it ended with ${code ?? signal}`));
    createInterface({ input: child.stdout! }).once('line', (line) => {
      clearTimeout(timer);
      resolve(JSON.parse(line) as T);
    });
  });
}

/** Waits until a program says something on its standard error. */
export function saidLine(child: ChildProcess, words: string, limitMs: number): Promise<void> {
  let said = '';
  return new Promise((resolve, reject) => {
    const fail = (what: string) => reject(new Error(`${what}: ${said}`));
    const timer = setTimeout(() => fail(`"${words}" was not said within ${limitMs} ms`), limitMs);
    child.once('error', reject);
    child.once('exit', (code, signal) => fail(`it ended with ${code ?? signal}`));
    child.stderr?.on('data', (chunk) => {
      said = `${said}${chunk}`.slice(-4_000);
      if (!said.includes(words)) return;
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Ends a program as Ctrl-C does; answers its exit code, and fails when it takes longer than `limitMs`. */
export function interrupt(child: ChildProcess, limitMs: number): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`it did not end within ${limitMs} ms`));
    }, limitMs);
    child.once('exit', (code) => {
      clearTimeout(timer);
      resolve(code);
    });
    child.kill('SIGINT');
  });
}

/** Runs a command on a lab host, the way a person would. */
export async function onHost(
  home: string,
  host: string,
  command: readonly string[],
  options: { input?: string; limitMs?: number } = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = startMove(home, ['lab', 'exec', host, '--', ...command]);
  const taken = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name]?.on('data', (chunk) => {
      taken[name] += chunk;
    });
  child.stdin?.end(options.input ?? '');
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), options.limitMs ?? 20_000);
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code, ...taken });
    });
  });
}
