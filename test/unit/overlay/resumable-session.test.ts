import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { duplexPair } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ResumableSession } from '../../../core/overlay/session/resumable-session.ts';
import { MoveError } from '../../../core/runtime/errors.ts';
import type { Random } from '../../../core/runtime/random.ts';
import { seededRandom } from '../../../core/runtime/random.ts';
import { cutPipe } from '../../support/cut-pipe.ts';
import { SessionServer } from '../../support/session-server.ts';

const id = () => Buffer.from('0123456789abcdef');
const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');

/** Reads to the end without destroying the stream, which an async iterator would do. */
function collect(stream: Duplex): Promise<Buffer> {
  const parts: Buffer[] = [];
  return new Promise((resolve, reject) => {
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('end', () => resolve(Buffer.concat(parts)));
    stream.on('error', reject);
  });
}

/** Attaches again and again over paths that break where `random` says, until the session is over. */
async function keepAttaching(
  session: ResumableSession,
  server: SessionServer,
  random: Random,
): Promise<number> {
  let paths = 0;
  while (!session.destroyed) {
    paths += 1;
    const limit = () => (random.below(4) === 0 ? random.below(60) : random.below(200_000));
    const path = cutPipe({ up: limit(), down: limit() }, (stream) => server.serve(stream));
    try {
      await session.attach(path);
    } catch (thrown) {
      if (session.destroyed) break;
      expect(thrown).toBeInstanceOf(MoveError);
      continue;
    }
    await new Promise<void>((resolve) => {
      const check = () => {
        if (session.state === 'open') return;
        session.off('close', resolve);
        resolve();
      };
      session.on('state', check);
      session.once('close', resolve);
      check();
    });
    session.removeAllListeners('state');
  }
  return paths;
}

describe('a resumable session', () => {
  for (const seed of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]) {
    it(`loses, doubles and reorders nothing over paths cut at random (seed ${seed})`, async () => {
      const random = seededRandom(seed);
      const upload = random.bytes(random.below(900_000));
      const download = random.bytes(random.below(900_000));
      const [service, serviceFar] = duplexPair();
      const server = new SessionServer(() => service);
      const atService = collect(serviceFar);
      serviceFar.end(download);
      const session = new ResumableSession({ id: id(), port: 80 });
      const atClient = collect(session);
      session.end(upload);
      const paths = await keepAttaching(session, server, random);
      expect(digest(await atClient)).toBe(digest(download));
      expect(digest(await atService)).toBe(digest(upload));
      expect(session.state).toBe('closed');
      expect(server.opened).toBe(1);
      expect(session.counters.upBytes).toBe(upload.length);
      expect(session.counters.downBytes).toBe(download.length);
      expect(paths).toBeGreaterThan(1);
    });
  }

  it('keeps a bounded amount when nobody reads and nobody acknowledges', async () => {
    const [service, serviceFar] = duplexPair();
    const server = new SessionServer(() => service);
    for (let index = 0; index < 64; index += 1) serviceFar.write(Buffer.alloc(65_536));
    const session = new ResumableSession({ id: id(), port: 80 });
    const [near, far] = duplexPair();
    server.serve(far);
    await session.attach(near);
    session.write(Buffer.alloc(200_000));
    const [silent] = duplexPair();
    void session.attach(silent).catch(() => undefined);
    expect(session.write(Buffer.alloc(200_000))).toBe(false);
    let accepted = 0;
    for (let index = 0; index < 100; index += 1) {
      session.write(Buffer.alloc(10_000), () => {
        accepted += 1;
      });
    }
    for (let index = 0; index < 20; index += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(accepted).toBe(0);
    expect(session.bufferedBytes).toBeLessThan(3 * 262_144);
    expect(server.mostBuffered).toBeLessThan(262_144 + 65_537);
    session.destroy();
  });

  it('fails honestly when it stays parked too long', async () => {
    let due: (() => void) | undefined;
    const clock = {
      now: () => 0,
      monotonic: () => 0,
      after: (delayMs: number, run: () => void) => {
        if (delayMs === 30_000) due = run;
        return () => {
          if (due === run) due = undefined;
        };
      },
    };
    const [service] = duplexPair();
    const server = new SessionServer(() => service);
    const session = new ResumableSession({ id: id(), port: 80, clock });
    const [near, far] = duplexPair();
    server.serve(far);
    await session.attach(near);
    expect(due).toBeUndefined();
    session.detach();
    expect(session.state).toBe('parked');
    expect(due).toBeDefined();
    const failed = new Promise<Error>((resolve) => session.once('error', resolve));
    due?.();
    expect(await failed).toMatchObject({ code: 'PARKED_TOO_LONG' });
    expect(session.state).toBe('failed');
  });

  it('passes on a refusal, waits out a pause and notices a lost session', async () => {
    const refused = new SessionServer(() => undefined);
    const first = new ResumableSession({ id: id(), port: 81 });
    const [a, aFar] = duplexPair();
    refused.serve(aFar);
    await expect(first.attach(a)).rejects.toMatchObject({ code: 'SERVICE_REFUSED' });
    expect(first.destroyed).toBe(true);

    const [service] = duplexPair();
    const server = new SessionServer(() => service);
    const second = new ResumableSession({ id: id(), port: 80 });
    const attach = () => {
      const [near, far] = duplexPair();
      server.serve(far);
      return second.attach(near);
    };
    await attach();
    server.pause();
    await new Promise((resolve) => second.once('state', resolve));
    expect(second.state).toBe('parked');
    await expect(attach()).rejects.toMatchObject({ code: 'SERVICE_PAUSED' });
    expect(second.destroyed).toBe(false);
    server.paused = false;
    await attach();
    expect(second.counters.resumes).toBe(1);
    second.detach();
    server.sessions.clear();
    await expect(attach()).rejects.toMatchObject({ code: 'SESSION_LOST' });
  });
});
