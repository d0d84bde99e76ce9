import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dial } from './session-client.ts';

const sources = fileURLToPath(new URL('../../../core/pods/native/', import.meta.url));

export const serviceAddress = '127.64.0.2';
export const sourceAddress = '127.64.0.3';

const gatewayUnits = readdirSync(join(sources, 'gateway'))
  .filter((name) => name.endsWith('.c'))
  .map((name) => join(sources, 'gateway', name));

/** Why the gateway cannot be built here, or undefined. */
export function gatewayObstacle(): string | undefined {
  if (process.platform !== 'linux') return 'the gateway needs Linux';
  try {
    execFileSync('gcc', ['--version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'gcc is missing';
  }
}

/** Builds gateway and shim with every warning an error. */
export function buildNative(directory: string): { gatewayPath: string; shimPath: string } {
  const gatewayPath = join(directory, 'gateway');
  const shimPath = join(directory, 'norlimit-shim.so');
  const strict = ['-O2', '-std=gnu11', '-Wall', '-Wextra', '-Werror'];
  execFileSync('gcc', [...strict, '-static', '-s', '-o', gatewayPath, ...gatewayUnits]);
  execFileSync('gcc', [
    ...strict,
    '-shared',
    '-fPIC',
    '-o',
    shimPath,
    join(sources, 'norlimit-shim.c'),
    '-ldl',
  ]);
  return { gatewayPath, shimPath };
}

/** Builds the gateway so that it ends at the first access to memory that is not its own and at anything undefined. */
export function buildSanitizedGateway(directory: string): string {
  const path = join(directory, 'gateway-sanitized');
  const checks = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer'];
  execFileSync('gcc', ['-O1', '-g', '-std=gnu11', ...checks, '-o', path, ...gatewayUnits]);
  return path;
}

export interface RunningGateway {
  child: ChildProcess;
  path: string;
  stop(): void;
}

export function makeDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'move-pods-'));
}

export function removeDirectory(path: string): void {
  rmSync(path, { recursive: true, force: true });
}

/** Starts a gateway outside any pod, on this machine's loopback. */
export async function runGateway(
  gatewayPath: string,
  directory: string,
  command: string[],
): Promise<RunningGateway> {
  const path = join(directory, `gateway-${Math.random().toString(36).slice(2)}.sock`);
  const child = spawn(
    gatewayPath,
    [
      '--socket',
      path,
      '--service-address',
      serviceAddress,
      '--source-address',
      sourceAddress,
      '--',
      ...command,
    ],
    { stdio: 'ignore', env: { ...process.env, ASAN_OPTIONS: 'detect_leaks=0' } },
  );
  const deadline = performance.now() + 5000;
  for (;;) {
    if (existsSync(path)) {
      const socket = await dial(path).catch(() => undefined);
      if (socket) {
        socket.destroy();
        break;
      }
    }
    if (performance.now() > deadline) throw new Error('the gateway did not start');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return {
    child,
    path,
    stop: () => {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 1000);
      child.once('exit', () => clearTimeout(timer));
    },
  };
}
