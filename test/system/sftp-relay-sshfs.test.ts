import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { chmod, open, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AttributeMemory } from '../../core/moves/sftp/attribute-memory.ts';
import { sftpType } from '../../core/moves/sftp/frames.ts';
import { SftpRelay } from '../../core/moves/sftp/sftp-relay.ts';
import { systemClock } from '../../core/runtime/clock.ts';
import { runProgram } from '../../core/runtime/process.ts';
import { hasSftpServer, SftpFarEnd, sftpServer } from '../support/sftp-far-end.ts';

function obstacle(): string | null {
  if (!hasSftpServer) return `no ${sftpServer}`;
  for (const program of ['/usr/bin/sshfs', '/usr/bin/socat'])
    if (!existsSync(program)) return `no ${program}`;
  if (process.getuid?.() !== 0) return 'not root';
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return null;
  } catch {
    return 'no /dev/fuse';
  }
}

const why = obstacle();
const roundTripMs = 40;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe.skipIf(why !== null)(`the relay below sshfs${why ? ` (skipped: ${why})` : ''}`, () => {
  const root = mkdtempSync(path.join(tmpdir(), 'sftp-sshfs-'));
  const home = path.join(root, 'home');
  const mount = path.join(root, 'mount');
  const memory = new AttributeMemory(systemClock);
  const storage = new SftpFarEnd(home);
  const sockets = new Set<Socket>();
  const relays = new Set<SftpRelay>();
  const faults: unknown[] = [];
  let server: Server;

  beforeAll(async () => {
    mkdirSync(home);
    mkdirSync(mount);
    const socketPath = path.join(root, 'relay.sock');
    server = createServer({ allowHalfOpen: true }, (socket) => {
      const relay = new SftpRelay({
        client: socket,
        dial: storage.dial,
        memory,
        clock: systemClock,
        onFault: (fault) => faults.push(fault),
      });
      sockets.add(socket);
      relays.add(relay);
      socket.once('close', () => {
        sockets.delete(socket);
        relays.delete(relay);
      });
    });
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    const connector = path.join(root, 'connect');
    await writeFile(connector, `#!/bin/sh\nexec /usr/bin/socat - UNIX-CONNECT:${socketPath}\n`);
    await chmod(connector, 0o700);
    const options = 'reconnect,allow_other,default_permissions,auto_cache,idmap=none,max_read=65536';
    const mounted = await runProgram(
      'sshfs',
      [`storage:${home}`, mount, '-o', `ssh_command=${connector}`, '-o', options],
      { timeoutMs: 8_000 },
    );
    expect(mounted).toMatchObject({ code: 0 });
    storage.delayMs = roundTripMs;
  });

  afterAll(async () => {
    await runProgram('umount', ['--lazy', mount], { timeoutMs: 5_000 });
    for (const relay of relays) relay.close();
    server.close();
    rmSync(root, { recursive: true, force: true });
    expect(faults).toEqual([]);
  });

  const at = (name: string) => path.join(mount, name);
  const atHome = (name: string) => path.join(home, name);
  /** Milliseconds that it took, and with which error code it ended. */
  const timed = async (act: () => Promise<unknown>) => {
    const from = performance.now();
    const code = await act().then(
      () => 'ok',
      (error: NodeJS.ErrnoException) => error.code,
    );
    return { code, ms: performance.now() - from };
  };
  beforeEach(() => {
    storage.asked = [];
  });

  it('opens and reads a known file without the storage', async () => {
    writeFileSync(atHome('page'), 'a page');
    expect(await readFile(at('page'), 'utf8')).toBe('a page');
    await pause(roundTripMs * 2);
    storage.asked = [];
    const each: number[] = [];
    for (let round = 0; round < 10; round += 1) {
      const from = performance.now();
      expect(await readFile(at('page'), 'utf8')).toBe('a page');
      each.push(performance.now() - from);
    }
    expect(storage.asked).toEqual([]);
    expect(each.sort((a, b) => a - b)[5]).toBeLessThan(roundTripMs / 2);
  });

  it('shows a change at home after at most some 2 s and a round trip, to people who keep using it', async () => {
    writeFileSync(atHome('news'), 'old');
    utimesSync(atHome('news'), 1_000, 1_000);
    for (let round = 0; round < 15; round += 1) {
      expect(await readFile(at('news'), 'utf8')).toBe('old');
      await pause(100);
    }
    writeFileSync(atHome('news'), 'new!');
    const from = performance.now();
    // a second of the relay's, a second in which the kernel trusts attributes
    while ((await readFile(at('news'), 'utf8')) !== 'new!') {
      expect(performance.now() - from).toBeLessThan(2_600);
      await pause(50);
    }
  });

  it('writes, replaces and removes as before', async () => {
    await writeFile(at('written'), 'one');
    expect(readFileSync(atHome('written'), 'utf8')).toBe('one');
    expect(await readFile(at('written'), 'utf8')).toBe('one');
    const long = Buffer.alloc(700_000, 'long ');
    await writeFile(at('written'), long);
    expect(readFileSync(atHome('written')).equals(long)).toBe(true);
    expect((await readFile(at('written'))).equals(long)).toBe(true);
    await writeFile(at('next'), 'two');
    await rename(at('next'), at('written'));
    expect(await readFile(at('written'), 'utf8')).toBe('two');
    const file = await open(at('written'));
    await unlink(at('written'));
    expect(await file.readFile('utf8')).toBe('two');
    await file.close();
    await expect(stat(at('written'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('answers EIO within about a second when the storage falls silent, then at once, and recovers by itself', async () => {
    writeFileSync(atHome('known'), 'known');
    // The changes before this made relay and sshfs forget the directory, and the kernel asks for it again after a second.
    await pause(1_100);
    await readFile(at('known'));
    await pause(roundTripMs * 2);
    storage.stall();
    const first = await Promise.all(
      Array.from({ length: 40 }, (_, index) => timed(() => stat(at(`absent-${index}`)))),
    );
    expect(new Set(first.map(({ code }) => code))).toEqual(new Set(['EIO']));
    expect(Math.max(...first.map(({ ms }) => ms))).toBeLessThan(2_000);
    const next = await timed(() => stat(at('absent')));
    expect(next.code).toBe('EIO');
    expect(next.ms).toBeLessThan(200);
    expect(await readFile(at('known'), 'utf8')).toBe('known');
    storage.flow();
    await pause(100);
    expect(await timed(() => stat(at('absent')))).toMatchObject({ code: 'ENOENT' });
    expect(await readFile(at('known'), 'utf8')).toBe('known');
  });

  it('goes on from memory without a link, answers EIO to all else at once, and works over the next link', async () => {
    writeFileSync(atHome('kept'), 'kept');
    writeFileSync(atHome('other'), 'other');
    await readFile(at('kept'));
    await pause(roundTripMs * 2);
    storage.unlinked = true;
    storage.cut();
    await pause(150);
    const failed = await timed(() => readFile(at('other')));
    expect(failed.code).toBe('EIO');
    expect(failed.ms).toBeLessThan(500);
    expect(await readFile(at('kept'), 'utf8')).toBe('kept');
    expect(sockets.size).toBe(1);
    storage.unlinked = false;
    for (const relay of relays) relay.connect();
    expect(await readFile(at('other'), 'utf8')).toBe('other');
  });

  it('is dialled again by sshfs when its own end breaks, also while no link is there', async () => {
    writeFileSync(atHome('later'), 'later');
    storage.unlinked = true;
    storage.cut();
    for (const socket of sockets) socket.destroy();
    await pause(50);
    const codes: unknown[] = [];
    for (let round = 0; round < 5; round += 1) codes.push((await timed(() => stat(at('later')))).code);
    expect(codes.at(-1)).toBe('EIO');
    storage.unlinked = false;
    await pause(150);
    expect(await readFile(at('later'), 'utf8')).toBe('later');
    expect(storage.count(sftpType.read)).toBeGreaterThan(0);
  });
});
