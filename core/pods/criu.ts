import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { MoveError } from '../runtime/errors.ts';
import type { PodRuntimeConfig } from './pod-paths.ts';

const tmpfsMagic = 0x01021994;
const resourceCapability = 24n;

/** Whether this process may still ask for CAP_SYS_RESOURCE; without it criu needs the shim. */
function mayRaiseLimits(): boolean {
  const bounding = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
  return ((BigInt(`0x${bounding}`) >> resourceCapability) & 1n) === 1n;
}

/**
 * The command line that starts criu from its private extraction: its own loader and libraries, nothing
 * of the host's, and the limits shim only where it is needed.
 * @throws MoveError `CRIU_MISSING` when the extraction is not there.
 */
export function criuCommand(config: PodRuntimeConfig): string[] {
  const libraries = join(config.criuHome, 'usr/lib/x86_64-linux-gnu');
  const loader = join(libraries, 'ld-linux-x86-64.so.2');
  const program = join(config.criuHome, 'usr/sbin/criu');
  if (!existsSync(loader) || !existsSync(program)) {
    throw new MoveError('CRIU_MISSING', 'criu is not installed on this site. Provision the host again.', {
      criuHome: config.criuHome,
    });
  }
  const shim = mayRaiseLimits() ? [] : ['--preload', config.shimPath];
  return [loader, '--library-path', libraries, ...shim, program];
}

/** The file in which criu keeps what it learnt about the kernel; it does so only in a /run that is a tmpfs. */
const memoryName = 'criu.kdat';
const learnLimitMs = 5000;

/** The directory that is criu's /run: the host's, or one below the run directory where that alone is a tmpfs. */
function criuRunDirectory(config: PodRuntimeConfig): string {
  if (statfsSync('/run').type === tmpfsMagic || statfsSync(config.runDir).type !== tmpfsMagic) return '/run';
  return join(config.runDir, '.criu');
}

/**
 * Lets criu look at the kernel, from outside of any pod, and so brings it into memory. What it finds out does not
 * matter here: a dump or a restore that cannot be done says so itself.
 */
export async function learnKernel(config: PodRuntimeConfig): Promise<void> {
  await runCriu([...criuRunPreamble(config), ...criuCommand(config), 'check'], { deadlineMs: learnLimitMs });
}

/**
 * Makes sure that criu knows the kernel. Without that it would find out inside the pod's fenced network, where the
 * connection that it tries would wait for minutes.
 * @throws MoveError `CRIU_CANNOT_LEARN` when it cannot keep what it learns.
 */
export async function requireKernelKnown(config: PodRuntimeConfig): Promise<void> {
  const memory = join(criuRunDirectory(config), memoryName);
  if (existsSync(memory)) return;
  await learnKernel(config);
  if (existsSync(memory)) return;
  throw new MoveError(
    'CRIU_CANNOT_LEARN',
    'criu could not keep what it learnt about the kernel of this site. Mount a tmpfs at /run, and look at what `criu check` says.',
    { memory },
  );
}

/** The shell line that gives criu its /run, where that is not the host's. */
export function criuRunPreamble(config: PodRuntimeConfig): string[] {
  const lent = criuRunDirectory(config);
  if (lent === '/run') return [];
  mkdirSync(lent, { recursive: true });
  return [
    'unshare',
    '--mount',
    '--propagation',
    'slave',
    'sh',
    '-e',
    '-c',
    'mount --bind "$1" /run; shift; exec "$@"',
    'sh',
    lent,
  ];
}

export interface CriuRun {
  code: number | null;
  timedOut: boolean;
  elapsedMs: number;
}

/**
 * Starts criu inside the pod's network namespace, which for criu is then its own, to be used and not to be
 * carried: from outside, it would switch between the two and read the kernel's whole table of tracked
 * connections, which took a fifth of a dump.
 */
export function inNetworkOf(networkNamespace: string): string[] {
  return ['nsenter', `--net=${networkNamespace}`, '--'];
}

/**
 * Runs a prepared command line whose output nobody needs (criu writes its own log). `deadlineMs` undefined
 * means that it must not be killed: a dump that dies halfway would wake its pod.
 */
export function runCriu(
  command: readonly string[],
  options: { deadlineMs?: number; onTimeout?: () => void },
): Promise<CriuRun> {
  const start = performance.now();
  return new Promise((resolve, reject) => {
    const child = spawn(command[0]!, command.slice(1), {
      cwd: '/',
      detached: true, // a signal to the agent's group must not reach a running dump
      stdio: 'ignore',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' },
    });
    let timedOut = false;
    const timer =
      options.deadlineMs === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true;
            child.kill('SIGKILL');
            options.onTimeout?.();
          }, options.deadlineMs);
    child.once('error', (cause) => {
      clearTimeout(timer);
      reject(new MoveError('CRIU_MISSING', 'criu could not be started.', { command: command[0] }, cause));
    });
    child.once('exit', (code) => {
      clearTimeout(timer);
      resolve({ code, timedOut, elapsedMs: performance.now() - start });
    });
  });
}
