import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import forge from 'node-forge';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { bringUp } from '../../../core/cli/launch/bring-up.ts';
import { openBrowserWindow } from '../../../core/cli/launch/browser-window.ts';
import { labStanding } from '../../../core/cli/launch/lab-standing.ts';
import { stopProcess } from '../../../core/cli/launch/stop-process.ts';
import { chromiumBinary, electronBinary, hasDisplay } from '../../../core/cli/launch/window-binaries.ts';
import { readPkcs12 } from '../../../core/cli/read-pkcs12.ts';
import type { ConsoleInfo, Service } from '../../../core/contract/domain.ts';
import { applyChanges, type Change, emptyState, type StateMessage } from '../../../core/contract/state.ts';
import { homeLockHolder } from '../../../core/control/home-lock.ts';
import { MoveHarness } from './move-harness.ts';

let directory: string;
beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'launch-'));
});
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }));

function program(name: string, body: string): string {
  const file = path.join(directory, name);
  fs.writeFileSync(file, `#!${process.execPath}\n${body}`, { mode: 0o755 });
  return file;
}

describe('binaries', () => {
  test('Electron is looked up without being loaded, and its override is honoured', () => {
    program('electron', '');
    expect(electronBinary({ ELECTRON_OVERRIDE_DIST_PATH: directory })).toBe(path.join(directory, 'electron'));
    expect(electronBinary({ ELECTRON_OVERRIDE_DIST_PATH: path.join(directory, 'absent') })).toBeNull();
  });

  test('Chromium is the one that is named, else the first on the path', () => {
    const found = program('chromium', '');
    expect(chromiumBinary({ PATH: `/nowhere:${directory}` })).toBe(found);
    expect(chromiumBinary({ PATH: '/nowhere' })).toBeNull();
    expect(chromiumBinary({ PATH: directory, CHROMIUM_BIN: '/nowhere/chromium' })).toBeNull();
    fs.chmodSync(found, 0o644);
    expect(chromiumBinary({ PATH: directory })).toBeNull();
    fs.rmSync(found);
    fs.mkdirSync(found);
    expect(chromiumBinary({ PATH: directory })).toBeNull();
  });

  test.skipIf(process.platform !== 'linux')('a display is one of X11 or Wayland', () => {
    expect([hasDisplay({}), hasDisplay({ DISPLAY: ':0' }), hasDisplay({ WAYLAND_DISPLAY: 'w' })]).toEqual([
      false,
      true,
      true,
    ]);
  });
});

describe('a Chromium window', () => {
  test('has a profile of its own, which is gone when the person closes it', async () => {
    const note = path.join(directory, 'note');
    const chromium = program(
      'chromium',
      `const fs = require('node:fs');
       const profile = process.argv.find((a) => a.startsWith('--user-data-dir=')).slice(16);
       fs.writeFileSync(profile + '/Cookies', 'x');
       fs.writeFileSync(${JSON.stringify(note)}, JSON.stringify({ profile, args: process.argv.slice(2) }));`,
    );
    const window = openBrowserWindow(chromium, 'http://127.0.0.1:1/enter?ticket=t', process.env);
    await window.closed;
    const { profile, args } = JSON.parse(fs.readFileSync(note, 'utf8')) as {
      profile: string;
      args: string[];
    };
    expect(fs.existsSync(profile)).toBe(false);
    expect(args[0]).toBe('--app=http://127.0.0.1:1/enter?ticket=t');
    expect(args.includes('--no-sandbox')).toBe(process.getuid?.() === 0);
    await window.close();
  });

  test('one that cannot be started is a fault and leaves no profile', async () => {
    const before = fs.readdirSync(os.tmpdir()).filter((name) => name.startsWith('move-console-window-'));
    const window = openBrowserWindow(path.join(directory, 'absent'), 'http://127.0.0.1:1/', process.env);
    await expect(window.closed).rejects.toMatchObject({ code: 'ENOENT' });
    await window.close();
    const after = fs.readdirSync(os.tmpdir()).filter((name) => name.startsWith('move-console-window-'));
    expect(after).toEqual(before);
  });
});

test('a process that does not hear SIGTERM is killed in time', async () => {
  const deaf = spawn(process.execPath, [
    '-e',
    "process.on('SIGTERM', () => undefined); process.stdout.write('up'); setInterval(() => undefined, 1e6)",
  ]);
  await once(deaf.stdout, 'data');
  expect(await stopProcess(deaf, 50)).toBe(false);
  expect(deaf.signalCode).toBe('SIGKILL');
  expect(await stopProcess(deaf, 50)).toBe(true);
});

describe('bringing up and taking down', () => {
  const root = path.resolve('.');
  let move: MoveHarness;
  beforeEach(() => {
    move = new MoveHarness();
  });
  afterEach(() => move.clean());

  /** A control plane process in small: the real serve command over the tests' handlers. */
  const self = () => {
    const module = (name: string) => JSON.stringify(path.join(root, name));
    return [
      process.execPath,
      '--disable-warning=ExperimentalWarning',
      '--input-type=module',
      '-e',
      `import { runMove } from ${module('core/cli/run.ts')};
       import { serveCommand } from ${module('core/cli/commands/serve-command.ts')};
       import { smallControl } from ${module('test/unit/shells/small-control.ts')};
       const stop = new AbortController();
       process.on('SIGTERM', () => stop.abort());
       process.exitCode = await runMove([serveCommand], process.argv.slice(1), {
         print: (v) => console.log(JSON.stringify(v)), say: console.error, askSecret: async () => null,
         environment: process.env, signal: stop.signal, self: [],
         rooms: {
           startControl: async () => ({ handlers: smallControl().handlers, ready: Promise.resolve(), stop: async () => {} }),
           lab: async () => ({ status: async () => ({ running: false }) }),
         },
       });`,
      '--',
    ];
  };
  const context = () => {
    const said: string[] = [];
    return {
      said,
      context: {
        print: () => undefined,
        say: (line: string) => said.push(line),
        askSecret: async () => null,
        environment: process.env,
        home: move.home,
        mayStart: true,
        signal: move.stop.signal,
        self: self(),
        rooms: { lab: async () => move.lab } as never,
      },
    };
  };

  test('says ready only when hosts and service answer, and else what does not', async () => {
    const info = (phase: ConsoleInfo['phase'], phaseText: string): Change => ({
      op: 'upsert',
      collection: 'console',
      id: 'console',
      value: { id: 'console', labName: 'lab', phase, phaseText } as ConsoleInfo,
    });
    const serviceIs = (state: Service['state']): Change => ({
      op: 'upsert',
      collection: 'services',
      id: 'shop.example',
      value: { id: 'shop.example', state } as Service,
    });
    const told: ((message: StateMessage) => void)[] = [];
    let now = applyChanges(emptyState(), [info('starting', 'Reaching the hosts of the lab.')]);
    await move.control({
      state: (_input, _context, emit) => {
        told.push(emit as (message: StateMessage) => void);
        emit({ kind: 'snapshot', revision: 1, state: now });
      },
    });
    const change = (...changes: Change[]) => {
      now = applyChanges(now, changes);
      for (const emit of told) emit({ kind: 'delta', revision: 2, changes });
    };
    const { context: given } = context();
    let settled = false;
    const first = labStanding(given).finally(() => {
      settled = true;
    });
    await expect.poll(() => told.length).toBe(1);
    change(serviceIs('starting'));
    expect(settled).toBe(false);
    change(serviceIs('running'), info('ready', 'All hosts answer.'));
    expect(await first).toEqual({ ready: true, text: 'All hosts answer.' });

    change(serviceIs('down'));
    expect(await labStanding(given)).toEqual({ ready: false, text: 'shop.example is down.' });
    change(serviceIs('running'), info('degraded', 'Not every host answers: stone-a.'));
    expect(await labStanding(given)).toEqual({ ready: false, text: 'Not every host answers: stone-a.' });
    change(info('starting', 'Reaching the hosts of the lab.'));
    const last = labStanding(given);
    move.stop.abort();
    expect(await last).toMatchObject({ ready: false });
  });

  test('without a control plane, nothing is ready', async () => {
    expect(await labStanding(context().context)).toMatchObject({
      ready: false,
      text: expect.stringContaining('No control plane runs'),
    });
  });

  test('starts what does not run, restarts a control plane that was killed, stops both in order', async () => {
    const { context: given, said } = context();
    const started = await bringUp(given, { startControl: true, keepAlive: true });
    expect([started.lab, started.control, move.labCalls]).toEqual([true, true, ['start']]);
    const first = homeLockHolder(move.home) ?? 0;
    process.kill(first, 'SIGKILL');
    const deadline = performance.now() + 10_000;
    let second: number | null = null;
    while ((second === null || second === first) && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 25));
      try {
        second = homeLockHolder(move.home);
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: 'CONTROL_STARTING' });
      }
    }
    expect(second).not.toBeNull();
    expect(said.join()).toContain('is started again');
    await started.takeDown();
    expect(homeLockHolder(move.home)).toBeNull();
    expect(move.labCalls).toEqual(['start', 'stop']);
    expect(said.slice(-2)).toEqual(['Stopping the control plane.', 'Taking the lab down.']);
  });

  test('leaves alone what ran before', async () => {
    move.labRunning = true;
    await move.control();
    const started = await bringUp(context().context, { startControl: true });
    expect([started.lab, started.control]).toEqual([false, false]);
    await started.takeDown();
    expect(move.labCalls).toEqual([]);
    expect(homeLockHolder(move.home)).toBe(process.pid);
  });

  test('takes the lab down again when the control plane does not start', async () => {
    const { context: given } = context();
    await expect(
      bringUp({ ...given, self: [process.execPath, '-e', 'process.exit(3)'] }, { startControl: true }),
    ).rejects.toMatchObject({ code: 'CONTROL_FAILED' });
    expect(move.labCalls).toEqual(['start', 'stop']);
  });

  test('a background control plane outlives its starter and is stopped by serve --stop', async () => {
    const { startControlProcess } = await import('../../../core/cli/control-process.ts');
    await startControlProcess(context().context, { background: true });
    expect(homeLockHolder(move.home)).not.toBeNull();
    expect(await move.run('status', '--no-start')).toMatchObject({ code: 0, printed: [{ revision: 7 }] });
    expect(await move.run('serve', '--stop')).toMatchObject({ code: 0, printed: [{ stopped: true }] });
    expect(homeLockHolder(move.home)).toBeNull();
  });

  test('two starts at once end with one control plane', async () => {
    const { startControlProcess } = await import('../../../core/cli/control-process.ts');
    const started = await Promise.all(
      [1, 2].map(() => startControlProcess(context().context, { background: true })),
    );
    expect(started.filter((child) => child !== null).map((child) => child.pid)).toEqual([
      homeLockHolder(move.home),
    ]);
    expect(await move.run('status', '--no-start')).toMatchObject({ code: 0 });
    await move.run('serve', '--stop');
  });
});

test('a PKCS#12 file opens with its password and with no other', () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(
    String(publicKey.export({ type: 'spki', format: 'pem' })),
  );
  certificate.serialNumber = '01';
  certificate.validity.notAfter = new Date(Date.now() + 60_000);
  certificate.setSubject([{ name: 'commonName', value: 'Ada' }]);
  certificate.setIssuer([{ name: 'commonName', value: 'Ada' }]);
  const key = forge.pki.privateKeyFromPem(String(privateKey.export({ type: 'pkcs8', format: 'pem' })));
  certificate.sign(key, forge.md.sha256.create());
  const container = forge.pkcs12.toPkcs12Asn1(key, [certificate], 'password', { algorithm: 'aes256' });
  const file = Buffer.from(forge.asn1.toDer(container).getBytes(), 'latin1');
  const read = readPkcs12(file, 'password');
  expect(read.keyPem).toBe(privateKey.export({ type: 'pkcs8', format: 'pem' }));
  expect(read.certificatePem).toContain('BEGIN CERTIFICATE');
  for (const [bytes, password] of [
    [file, 'wrong'],
    [file.subarray(0, 50), 'password'],
    [Buffer.from('no'), 'password'],
  ] as const)
    expect(() => readPkcs12(bytes, password)).toThrowError(
      expect.objectContaining({ code: 'PKCS12_UNREADABLE' }),
    );
});
