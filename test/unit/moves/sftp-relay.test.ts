import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AttributeMemory } from '../../../core/moves/sftp/attribute-memory.ts';
import { sftpNumber, sftpString, sftpType } from '../../../core/moves/sftp/frames.ts';
import { SftpRelay } from '../../../core/moves/sftp/sftp-relay.ts';
import type { MoveError } from '../../../core/runtime/errors.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { linkedPair } from '../../support/linked-pair.ts';
import { SftpClient } from '../../support/sftp-client.ts';
import { hasSftpServer, SftpFarEnd, sftpServer } from '../../support/sftp-far-end.ts';

const unreachable = 13;
const noSuchFile = 2;
/** Flags of an OPEN: write, create, truncate. */
const forWriting = 2 | 8 | 16;

/** Lets ends of connections learn that they are closed. */
const noticed = () => new Promise((resolve) => setTimeout(resolve, 5));

/** Lets real programs answer. */
async function soon(wanted: () => boolean): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!wanted()) {
    if (performance.now() > deadline) throw new Error('not within 5 s');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

describe.skipIf(!hasSftpServer)(
  `the relay before a storage${hasSftpServer ? '' : ` (skipped: no ${sftpServer})`}`,
  () => {
    let directory: string;
    let clock: HandClock;
    let memory: AttributeMemory;
    let storage: SftpFarEnd;
    let relay: SftpRelay;
    let client: SftpClient;
    let faults: MoveError[];
    let file: string;

    const connect = () => {
      const [near, far] = linkedPair();
      const onFault = (error: MoveError) => faults.push(error);
      relay = new SftpRelay({ client: far, dial: storage.dial, memory, clock, onFault });
      client = new SftpClient(near);
    };

    beforeEach(async () => {
      directory = mkdtempSync(path.join(tmpdir(), 'sftp-relay-'));
      file = path.join(directory, 'page.html');
      writeFileSync(file, 'a page');
      clock = new HandClock();
      memory = new AttributeMemory(clock);
      storage = new SftpFarEnd(directory);
      faults = [];
      connect();
      await client.greet();
    });

    afterEach(() => {
      relay.close();
      rmSync(directory, { recursive: true, force: true });
      expect(client.strays).toBe(0);
      expect(clock.pending).toBe(0);
    });

    /** Waits until the storage is used again. */
    const alive = async () => {
      while ((await client.status(sftpType.stat, sftpString(`${file}.none`))) === unreachable)
        await noticed();
    };

    /** Opens it once, so that its attributes are known; then nothing has been asked. */
    const warm = async () => {
      await client.close((await client.open(file)).handle);
      await soon(() => storage.count(sftpType.close) === 1);
      storage.asked = [];
    };

    it('opens a known file without the storage, and the storage when it is read', async () => {
      const cold = await client.open(file);
      expect(storage.asked).toEqual([sftpType.open, sftpType.lstat]);
      storage.asked = [];
      const { handle, attributes } = await client.open(file);
      expect(attributes).toEqual(cold.attributes);
      expect(storage.asked).toEqual([]);
      expect(await client.close(handle)).toBe(0);
      expect(storage.asked).toEqual([]);

      const again = await client.open(file);
      const parts = [client.read(again.handle), client.read(again.handle, 2), client.read(again.handle)];
      expect(await Promise.all(parts)).toEqual(['a page', 'a ', 'a page']);
      expect(storage.asked).toEqual([sftpType.open, ...Array(3).fill(sftpType.read)]);
      expect(await client.read(again.handle)).toBe('a page');
      expect(storage.count(sftpType.open)).toBe(1);
      expect(await client.close(again.handle)).toBe(0);
      await soon(() => storage.count(sftpType.close) === 1);
      expect(await client.status(sftpType.read, sftpString(again.handle), Buffer.alloc(12))).toBe(4);
    });

    it('closes at the storage what was closed while it opened there', async () => {
      await warm();
      const { handle } = await client.open(file);
      const reading = client.read(handle);
      const closing = client.close(handle);
      expect(await closing).toBe(0);
      // The number names nothing any more: the read that came before it cannot be carried out.
      await expect(reading).rejects.toThrow('read: status 4');
      await soon(() => storage.count(sftpType.close) === 1);
    });

    it('answers no LSTAT from memory but the one that comes with an open', async () => {
      await warm();
      await client.open(file);
      expect(storage.asked).toEqual([]);
      expect((await client.ask(sftpType.lstat, sftpString(file))).type).toBe(sftpType.attrs);
      expect(storage.asked).toEqual([sftpType.lstat]);
      await client.ask(sftpType.stat, sftpString(file));
      expect(storage.asked).toEqual([sftpType.lstat, sftpType.stat]);
    });

    it('asks again beside the answer when what it knows is older than a second', async () => {
      await warm();
      clock.turn(900);
      await client.open(file);
      expect(storage.asked).toEqual([]);
      clock.turn(200);
      writeFileSync(file, 'a longer page');
      const old = await client.open(file);
      const older = await client.open(file);
      expect(older.attributes).toEqual(old.attributes);
      await soon(() => storage.count(sftpType.lstat) === 1);
      // One answer of the storage later, everyone who opens it sees the change.
      await client.ask(sftpType.lstat, sftpString(directory));
      const { attributes } = await client.open(file);
      expect(attributes).not.toEqual(old.attributes);
      expect(Number(attributes.readBigUInt64BE(4))).toBe(statSync(file).size);
      expect(storage.asked).toEqual([sftpType.lstat, sftpType.lstat]);
    });

    it('does not trust what it knows for longer than sshfs does', async () => {
      await warm();
      clock.turn(20_001);
      await client.open(file);
      expect(storage.asked).toEqual([sftpType.open, sftpType.lstat]);
    });

    it('forgets a file that is gone at home', async () => {
      await warm();
      rmSync(file);
      clock.turn(1_500);
      await client.open(file);
      await soon(() => storage.count(sftpType.lstat) === 1);
      await client.ask(sftpType.lstat, sftpString(directory));
      await expect(client.open(file)).rejects.toThrow(`open: status ${noSuchFile}`);
    });

    it('gives those who read what the open at the storage came to', async () => {
      await warm();
      rmSync(file);
      const { handle } = await client.open(file);
      const failures = await Promise.allSettled([client.read(handle), client.read(handle)]);
      expect(failures.map((one) => one.status === 'rejected' && one.reason.message)).toEqual([
        `read: status ${noSuchFile}`,
        `read: status ${noSuchFile}`,
      ]);
      expect(storage.count(sftpType.open)).toBe(1);
      expect(await client.close(handle)).toBe(0);
    });

    it('answers from memory only what it knows to be a regular file', async () => {
      const folder = path.join(directory, 'folder');
      mkdirSync(folder);
      await client.ask(sftpType.lstat, sftpString(folder));
      storage.asked = [];
      await client.open(folder).catch(() => undefined);
      expect(storage.asked).toEqual([sftpType.open, sftpType.lstat]);
    });

    it('writes at home, and forgets what it knows around every change', async () => {
      await warm();
      const other = path.join(directory, 'other.html');
      const { handle } = await client.open(other, forWriting);
      expect(await client.write(handle, 'another page')).toBe(0);
      expect(await client.close(handle)).toBe(0);
      expect(readFileSync(other, 'utf8')).toBe('another page');
      storage.asked = [];
      await client.open(file);
      expect(storage.asked).toEqual([sftpType.open, sftpType.lstat]);
      expect(memory.size).toBe(1);
      const [told] = await Promise.all([
        client.ask(sftpType.lstat, sftpString(other)),
        client.status(sftpType.mkdir, sftpString(path.join(directory, 'new')), sftpNumber(0)),
      ]);
      expect(told.type).toBe(sftpType.attrs);
      expect(memory.size).toBe(0);
    });

    it.each([
      ['REMOVE', sftpType.remove, (name: string) => [sftpString(name)]],
      ['RENAME', sftpType.rename, (name: string) => [sftpString(name), sftpString(`${name}.old`)]],
      [
        'posix-rename',
        sftpType.extended,
        (name: string) => ['posix-rename@openssh.com', name, `${name}.old`].map((field) => sftpString(field)),
      ],
    ])('keeps a file readable that was opened from memory before a %s', async (_name, type, fields) => {
      await warm();
      const { handle } = await client.open(file);
      expect(storage.asked).toEqual([]);
      expect(await client.status(type, ...fields(file))).toBe(0);
      expect(await client.read(handle)).toBe('a page');
    });

    it('carries directories, the handle in an extension, and what it does not know', async () => {
      const opened = await client.ask(sftpType.opendir, sftpString(directory));
      const handle = opened.fields.string();
      expect((await client.ask(sftpType.readdir, sftpString(handle))).type).toBe(sftpType.name);
      expect(await client.close(handle)).toBe(0);
      const written = await client.open(path.join(directory, 'synced'), forWriting);
      const fsync = [sftpString('fsync@openssh.com'), sftpString(written.handle)];
      expect(await client.status(sftpType.extended, ...fsync)).toBe(0);
      expect(await client.status(77, sftpString('?'))).toBe(8);
      expect(await client.status(sftpType.extended, sftpString('unheard@of'))).toBe(8);
    });

    it('remembers a bounded number of files and forgets the least recently used', async () => {
      memory = new AttributeMemory(clock, 2);
      connect();
      await client.greet();
      const names = ['one', 'two', 'three'].map((name) => path.join(directory, name));
      for (const name of names) writeFileSync(name, name);
      await client.open(names[0]!);
      await client.open(names[1]!);
      await client.open(names[0]!);
      await client.open(names[2]!);
      expect(memory.size).toBe(2);
      storage.asked = [];
      await client.open(names[0]!);
      await client.open(names[2]!);
      expect(storage.asked).toEqual([]);
      await client.open(names[1]!);
      expect(storage.count(sftpType.open)).toBe(1);
    });

    describe('when the storage falls silent', () => {
      const other = () => path.join(directory, 'other.html');
      beforeEach(async () => {
        writeFileSync(other(), 'another page');
        await warm();
        storage.stall();
      });

      it('fails those who wait within about a second, and then at once; memory goes on; late replies are dropped', async () => {
        const waiting = [client.open(other()), client.open(other())];
        let settled = 0;
        for (const one of waiting) one.catch(() => (settled += 1));
        await soon(() => storage.count(sftpType.lstat) === 2);
        clock.turn(990);
        await new Promise(setImmediate);
        expect(settled).toBe(0);
        clock.turn(10);
        for (const one of waiting) await expect(one).rejects.toThrow(`open: status ${unreachable}`);

        // At once: the clock stands. What is known goes on, up to what nobody has read.
        await expect(client.open(other())).rejects.toThrow(`open: status ${unreachable}`);
        const { handle } = await client.open(file);
        await expect(client.read(handle)).rejects.toThrow(`read: status ${unreachable}`);
        expect(storage.count(sftpType.open)).toBe(2);

        storage.flow();
        await soon(() => storage.count(sftpType.close) === 2);
        expect(await client.read(handle)).toBe('a page');
        expect(await client.read((await client.open(other())).handle)).toBe('another page');
        expect(storage.dials).toBe(1);
      });

      it('repeats what it was told last of a path to who asks for that alone, for as long as sshfs would believe it twice', async () => {
        const { lstat, attrs } = sftpType;
        storage.flow();
        const told = (await client.ask(lstat, sftpString(directory))).fields;
        storage.stall();
        clock.turn(20_500);
        const waiting = client.ask(lstat, sftpString(directory));
        await soon(() => storage.count(lstat) === 2);
        clock.turn(1_000);
        expect(await waiting).toMatchObject({ type: attrs, fields: told });
        expect(await client.ask(lstat, sftpString(directory))).toMatchObject({ type: attrs, fields: told });
        expect((await client.ask(lstat, sftpString(other()))).type).toBe(sftpType.status);
        clock.turn(19_000);
        expect((await client.ask(lstat, sftpString(directory))).type).toBe(sftpType.status);
      });

      it('closes at the storage later what is closed meanwhile', async () => {
        storage.flow();
        const { handle } = await client.open(other());
        storage.stall();
        const waiting = client.read(handle);
        await soon(() => storage.count(sftpType.read) === 1);
        clock.turn(1_000);
        await expect(waiting).rejects.toThrow(`read: status ${unreachable}`);
        storage.asked = [];
        expect(await client.close(handle)).toBe(0);
        await soon(() => storage.count(sftpType.close) === 1);
        storage.flow();
        await alive();
        expect(await client.read((await client.open(other())).handle)).toBe('another page');
      });

      it('does not take its own standstill for silence', async () => {
        const waiting = client.open(other());
        await soon(() => storage.count(sftpType.lstat) === 1);
        clock.stumble(30_000);
        storage.flow();
        expect(await client.read((await waiting).handle)).toBe('another page');
      });

      it('takes a bounded number of requests meanwhile, and answers every one of them', async () => {
        const waiting = Array.from({ length: 3_000 }, (_, index) =>
          client.status(sftpType.stat, sftpString(`${file}.${index}`)),
        );
        await soon(() => storage.count(sftpType.stat) >= 1_024);
        await noticed();
        expect(storage.count(sftpType.stat)).toBeLessThan(2_048);
        clock.turn(1_000);
        expect(new Set(await Promise.all(waiting))).toEqual(new Set([unreachable]));
        storage.flow();
        await alive();
      });

      it('counts any byte as life', async () => {
        const waiting = client.read((await client.open(file)).handle);
        await soon(() => storage.count(sftpType.open) === 1);
        for (let round = 0; round < 8; round += 1) {
          clock.turn(750);
          storage.flow();
          const reached = storage.asked.length;
          if (round === 0) expect(await waiting).toBe('a page');
          storage.stall();
          const next = client.status(sftpType.stat, sftpString(`${file}.none`));
          await soon(() => storage.asked.length > reached);
          clock.turn(750);
          storage.flow();
          expect(await next).toBe(noSuchFile);
        }
      });
    });

    describe('when the link goes', () => {
      it('fails those who wait at once, keeps the connection, and works over the next link', async () => {
        await warm();
        storage.stall();
        const other = path.join(directory, 'other.html');
        const waiting = client.status(sftpType.stat, sftpString(file));
        await soon(() => storage.count(sftpType.stat) === 1);
        storage.unlinked = true;
        storage.cut();
        expect(await waiting).toBe(unreachable);
        expect(await client.status(sftpType.stat, sftpString(file))).toBe(unreachable);
        const { handle } = await client.open(file);

        storage.unlinked = false;
        storage.flow();
        clock.turn(200);
        relay.connect();
        expect(storage.dials).toBe(2);
        expect(await client.read(handle)).toBe('a page');
        expect(await client.write((await client.open(other, forWriting)).handle, 'new')).toBe(0);
        expect(readFileSync(other, 'utf8')).toBe('new');
        expect(client.closed).toBe(false);
      });

      it('dials over a link that replaces another before the end of that has been told', async () => {
        storage.cut();
        relay.connect();
        expect(storage.dials).toBe(2);
        expect(await client.read((await client.open(file)).handle)).toBe('a page');
      });

      it('never uses a handle of one link on another', async () => {
        const mine = path.join(directory, 'mine');
        const written = await client.open(mine, forWriting);
        const read = await client.open(file);
        expect(await client.read(read.handle)).toBe('a page');
        storage.cut();
        await noticed();
        clock.turn(200);
        const victim = path.join(directory, 'victim');
        const fresh = await client.open(victim, forWriting);
        expect(await client.write(fresh.handle, 'of the victim')).toBe(0);
        expect(await client.write(written.handle, 'XX')).toBe(unreachable);
        expect(await client.close(written.handle)).toBe(0);
        expect(readFileSync(victim, 'utf8')).toBe('of the victim');
        expect(await client.write(fresh.handle, 'OF')).toBe(0);
      });

      it('greets a new connection of sshfs without a link, once it has known one', async () => {
        storage.unlinked = true;
        storage.cut();
        await noticed();
        connect();
        await client.greet();
        expect(await client.status(sftpType.stat, sftpString(file))).toBe(unreachable);
        memory = new AttributeMemory(clock);
        connect();
        void client.greet();
        await soon(() => client.closed);
      });

      it('hangs up on a first greeting that the storage does not answer any more', async () => {
        memory = new AttributeMemory(clock);
        storage.stall();
        connect();
        void client.greet();
        await noticed();
        storage.cut();
        await soon(() => client.closed);
      });

      it('does not dial with every request a storage that hangs up', async () => {
        storage.cut();
        await noticed();
        clock.turn(200);
        storage.dials = 0;
        for (let round = 0; round < 50; round += 1) {
          void client.status(sftpType.stat, sftpString(file));
          storage.cut();
          await new Promise(setImmediate);
        }
        expect(storage.dials).toBe(1);
      });
    });

    describe('ends the session', () => {
      it.each([
        ['a message that is too long', 'SFTP_FRAME_TOO_LARGE', sftpNumber(1 << 30)],
        ['a message that is too short', 'SFTP_MALFORMED', sftpNumber(1)],
        [
          'a string that is cut off',
          'SFTP_MALFORMED',
          Buffer.from('0000000903000000010000ffff'.slice(0, 26), 'hex'),
        ],
      ])('at %s', async (_name, code, bytes) => {
        client.stream.write(bytes);
        await soon(() => client.closed);
        expect(faults.map((fault) => fault.code)).toEqual([code]);
      });

      it('at a storage that does not speak SFTP', async () => {
        relay.close();
        const [near, far] = linkedPair();
        const [stream, server] = linkedPair();
        relay = new SftpRelay({
          client: far,
          dial: () => stream,
          memory: new AttributeMemory(clock),
          clock,
          onFault: (error) => faults.push(error),
        });
        client = new SftpClient(near);
        void client.greet();
        server.write('HTTP/1.1 400 Bad Request\r\n\r\n');
        await soon(() => client.closed);
        expect(faults.map((fault) => fault.code)).toEqual(['SFTP_FRAME_TOO_LARGE']);
        expect(server.destroyed || stream.destroyed).toBe(true);
      });
    });
  },
);
