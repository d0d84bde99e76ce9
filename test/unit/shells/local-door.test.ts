import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { attachControl, connectControl } from '../../../core/control/attach.ts';
import { controlHome, prepareHome } from '../../../core/control/control-home.ts';
import { homeLockHolder, lockHome } from '../../../core/control/home-lock.ts';
import { type LocalDoor, openLocalDoor } from '../../../core/control/local-door.ts';
import { smallControl } from './small-control.ts';

let home: string;
let log: string[];
const doors: LocalDoor[] = [];

beforeEach(() => {
  home = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'door-')), 'home');
  log = [];
});
afterEach(async () => {
  for (const door of doors.splice(0)) await door.close();
  fs.rmSync(path.dirname(home), { recursive: true, force: true });
});

async function openDoor(control = smallControl({ 'emergency.release': () => ({}) })) {
  const lock = lockHome(home);
  const door = await openLocalDoor({ lock, handlers: control.handlers, log: (line) => log.push(line) });
  doors.push(door);
  return { lock, door, control };
}

/** A process of its own that takes the lock, says so, and holds it until it is killed. */
async function holdLockElsewhere(extra = '') {
  const lockModule = new URL('../../../core/control/home-lock.ts', import.meta.url).href;
  const child = spawn(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '--input-type=module',
      '-e',
      `import { lockHome } from ${JSON.stringify(lockModule)};
       import net from 'node:net';
       globalThis.lock = lockHome(${JSON.stringify(home)});
       ${extra}
       process.stdout.write('held'); setInterval(() => undefined, 1e6);`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await once(child.stdout, 'data');
  return child;
}

test('serves the contract to a terminal and to a window, each by its name', async () => {
  const { control } = await openDoor();
  const terminal = await attachControl(home, 'terminal');
  const window = await attachControl(home, 'window');
  expect(await terminal?.call('emergency.release', {})).toEqual({});
  expect(await window?.call('emergency.release', {})).toEqual({});
  await expect(window?.call('doctor', {})).rejects.toMatchObject({
    code: 'NOT_HERE',
    details: { method: 'doctor' },
  });
  expect(control.calls.map((call) => call.caller)).toEqual(['terminal', 'window', 'window']);
  terminal?.close();
  window?.close();
});

test('a shell that says nothing about itself is a terminal; one of another version is turned away', async () => {
  const { door, control } = await openDoor();
  const silent = net.connect(door.socketPath);
  silent.write('{"id":1,"call":"emergency.release","input":{}}\n');
  const [answer] = await once(silent, 'data');
  expect(JSON.parse(String(answer))).toEqual({ id: 1, result: {} });
  expect(control.calls[0]?.caller).toBe('terminal');
  silent.destroy();

  const stranger = net.connect(door.socketPath);
  stranger.write('{"attach":"window","protocol":"move-console.v0"}\n');
  stranger.resume();
  await once(stranger, 'close');
  expect(log.join()).toContain('another version');
});

test('a shell that breaks the protocol is closed, and the others stay', async () => {
  const { door } = await openDoor();
  const good = await attachControl(home, 'terminal');
  const bad = net.connect(door.socketPath);
  bad.write('hello?\n');
  bad.resume();
  await once(bad, 'close');
  expect(await good?.call('emergency.release', {})).toEqual({});
  expect(log.join()).toContain('PROTOCOL_ERROR');
  good?.close();
});

test('the directory and the socket are closed to everybody else', async () => {
  fs.mkdirSync(home, { mode: 0o755 });
  const { door } = await openDoor();
  expect(fs.statSync(home).mode & 0o777).toBe(0o700);
  expect(fs.statSync(door.socketPath).mode & 0o777).toBe(0o600);
});

test('a second control plane is refused, in this process and in another', async () => {
  const { lock } = await openDoor();
  expect(() => lockHome(home)).toThrowError(expect.objectContaining({ code: 'CONTROL_RUNNING' }));
  expect(homeLockHolder(home)).toBe(process.pid);
  lock.release();
  expect(homeLockHolder(home)).toBeNull();

  const child = await holdLockElsewhere();
  try {
    expect(() => lockHome(home)).toThrowError(expect.objectContaining({ code: 'CONTROL_RUNNING' }));
    expect(homeLockHolder(home)).toBe(child.pid);
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  expect(homeLockHolder(home)).toBeNull();
});

test('after kill -9 the stale socket is no obstacle and is told from a live one', async () => {
  prepareHome(home);
  const child = await holdLockElsewhere(
    `await new Promise((r) => net.createServer().listen(${JSON.stringify(path.join(home, 'control.sock'))}, r));`,
  );
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect(fs.existsSync(path.join(home, 'control.sock'))).toBe(true);
  expect(await connectControl(home, 'terminal')).toBeNull();
  await openDoor();
  const client = await attachControl(home, 'terminal');
  expect(await client?.call('emergency.release', {})).toEqual({});
  client?.close();
});

test('closing the door ends attached shells and removes the socket', async () => {
  const { door } = await openDoor();
  const client = await attachControl(home, 'terminal');
  await door.close();
  expect(await client?.closed).toBeNull();
  expect(fs.existsSync(door.socketPath)).toBe(false);
  expect(await attachControl(home, 'terminal')).toBeNull();
});

test('a home that cannot be used is refused with what to do', () => {
  fs.writeFileSync(home, '');
  expect(() => prepareHome(home)).toThrowError(expect.objectContaining({ code: 'HOME_UNUSABLE' }));
  expect(() => lockHome(path.join(os.tmpdir(), 'x'.repeat(120)))).toThrowError(
    expect.objectContaining({ code: 'HOME_PATH_TOO_LONG' }),
  );
  fs.rmdirSync(path.join(os.tmpdir(), 'x'.repeat(120)));
});

test('the home comes from MOVE_HOME, else from the XDG state directory', () => {
  expect(controlHome({ MOVE_HOME: '/a/b' })).toBe('/a/b');
  expect(controlHome({ XDG_STATE_HOME: '/s' })).toBe('/s/move-console');
  expect(controlHome({ HOME: '/h' })).toBe('/h/.local/state/move-console');
});
