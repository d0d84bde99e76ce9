import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const bootstrap = path.resolve('core/cli/bootstrap');

/** Runs a script with the bootstrap's modules in reach; stdout is its answer. */
function runScript(script: string): { stdout: string; status: number | null; signal: string | null } {
  const { stdout, status, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    cwd: bootstrap,
    timeout: 15_000,
  });
  return { stdout, status, signal };
}

const moduleUrl = (name: string) => JSON.stringify(path.join(bootstrap, name));

describe('handing over', () => {
  it.each([0, 1, 7, 255])('passes exit code %d through', (code) => {
    const script = `import { handOver } from ${moduleUrl('launch.mjs')}; handOver('sh', ['-c', 'echo out; exit ${code}']);`;
    expect(runScript(script)).toMatchObject({ stdout: 'out\n', status: code });
  });

  it('ends by the signal that ended the program', () => {
    const script = `import { handOver } from ${moduleUrl('launch.mjs')}; handOver('sh', ['-c', 'kill -TERM $$']);`;
    expect(runScript(script).signal).toBe('SIGTERM');
  });
});

describe('programs that set-up runs', () => {
  it('never write to stdout', () => {
    const script = `import { runLoud } from ${moduleUrl('run.mjs')};
      const status = await runLoud('sh', ['-c', 'echo noise; exit 3'], { timeoutMs: 5000 });
      process.stdout.write(JSON.stringify({ status }));`;
    expect(runScript(script).stdout).toBe('{"status":3}');
  });
});

describe('versions of criu', () => {
  it('are new enough from 4.2.1 on', () => {
    const script = `import { isNewEnough } from ${moduleUrl('criu-install.mjs')};
      process.stdout.write(JSON.stringify(['4.2.1', '4.2.2', '4.3', '5.0', '4.2', '4.1.9', '3.17.1', 'odd'].map(isNewEnough)));`;
    expect(JSON.parse(runScript(script).stdout)).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
  });
});

describe('the lock', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'move-lock-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it('lets one holder in at a time', () => {
    const script = `import { withLock } from ${moduleUrl('lock.mjs')};
      const order = [];
      const hold = (name) => withLock(${JSON.stringify(path.join(directory, 'lock'))}, async () => {
        order.push(name + ' in'); await new Promise((resolve) => setTimeout(resolve, 20)); order.push(name + ' out');
      });
      await Promise.all([hold('a'), hold('b')]);
      process.stdout.write(order.join());`;
    expect(runScript(script).stdout).toBe('a in,a out,b in,b out');
  });

  it('is taken over from a holder that is dead', () => {
    const file = path.join(directory, 'lock');
    const dead = spawnSync('true');
    writeFileSync(file, String(dead.pid));
    const script = `import { withLock } from ${moduleUrl('lock.mjs')};
      await withLock(${JSON.stringify(file)}, async () => process.stdout.write('in'));`;
    expect(runScript(script).stdout).toBe('in');
  });
});

describe('the sources of set-up', () => {
  it('name no registry and no archive', () => {
    for (const name of ['npm-packages.mjs', 'criu-install.mjs', 'pod-image.mjs', 'apt-sources.mjs']) {
      expect(readFileSync(path.join(bootstrap, name), 'utf8')).not.toMatch(/https?:\/\//);
    }
  });
});
