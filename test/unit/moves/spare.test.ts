import { randomBytes, type X509Certificate } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Duplex, duplexPair } from 'node:stream';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Delegation } from '../../../core/contract/agent-contract.ts';
import { SpareKeeper } from '../../../core/moves/spare-keeper.ts';
import { SpareRoom } from '../../../core/moves/spare-room.ts';
import { MoveError } from '../../../core/runtime/errors.ts';
import type { IncomingStream, Link } from '../../../core/runtime/link/link.ts';
import { createTestAuthority } from '../../support/authority.ts';
import { HandClock } from '../../support/hand-clock.ts';

const service = 'shop.example';
const pageBytes = 4096;
const target = { name: 'b1', address: '198.18.2.1', port: 7400 };
const everyMs = 10_000;

let certificate: X509Certificate;
beforeAll(async () => {
  certificate = (await (await createTestAuthority()).issue({ role: 'site', name: 'a1' })).certificate;
});

let home: string;
let clock: HandClock;
let room: SpareRoom;
let pages: Buffer;
let phase: 'running' | 'frozen';
let busy: boolean;
/** Where the service says that it is. */
let site: string;
/** The links that were dialled, newest last. */
let links: ReturnType<typeof linkTo>[];
/** While it is set, nothing that is sent arrives. */
let held: boolean;
let keeper: SpareKeeper;

/** A link in memory whose streams reach the room, as those between sites do. */
function linkTo(receiver: SpareRoom) {
  const closed = Promise.withResolvers<undefined>();
  const streams: Duplex[] = [];
  const link = {
    isOpen: true,
    peerCertificate: certificate,
    closed: closed.promise,
    close() {
      link.isOpen = false;
      for (const stream of streams) stream.destroy();
      closed.resolve(undefined);
    },
    openStreamNow(header: unknown) {
      const [near, far] = duplexPair();
      streams.push(near, far);
      far.on('error', (error) => near.destroy(error));
      near.once('close', () => far.destroy());
      const refuse = (error: MoveError) => near.destroy(error);
      const reset = Object.assign(far, { reset: refuse });
      const incoming = { header, stream: reset, accept: () => far, refuse } as unknown as IncomingStream;
      if (!held) setImmediate(() => receiver.receive(incoming, link as unknown as Link));
      return near;
    },
  };
  return link;
}

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'move-spare-'));
  clock = new HandClock();
  room = new SpareRoom({
    runDirectory: join(home, 'target'),
    limitBytes: 8 << 20,
    verify: (delegation) => delegation as { service: string; site: string },
  });
  site = 'a1';
  pages = randomBytes(100 * pageBytes);
  phase = 'running';
  busy = false;
  held = false;
  links = [];
  keeper = new SpareKeeper({
    runtime: {
      status: async () => ({ phase }) as never,
      writeAdvance: async (_id, directory, { signal }) => {
        signal.throwIfAborted();
        rmSync(directory, { recursive: true, force: true });
        mkdirSync(directory, { recursive: true });
        writeFileSync(join(directory, 'memory'), pages);
      },
    },
    path: {
      link: async () => {
        const link = linkTo(room);
        links.push(link);
        return link as unknown as Link;
      },
    },
    runDirectory: join(home, 'source'),
    clock,
    log: () => undefined,
    limitBytes: 8 << 20,
    isBusy: () => busy,
    delegationOf: (of) => ({ service: of, site }) as Delegation,
  });
});
afterEach(() => {
  keeper.stop();
  rmSync(home, { recursive: true, force: true });
});

const status = () => keeper.status()[0]!;
const rounds = (count: number) => expect.poll(() => status().rounds, { timeout: 5_000 }).toBe(count);

async function keepOneRound(): Promise<void> {
  keeper.keep(service, target, everyMs);
  await rounds(1);
  // It is over, and the next one has its time.
  await expect.poll(() => clock.pending).toBe(1);
}

/** Changes one page of the pod. */
const writeTo = (page: number) => randomBytes(pageBytes).copy(pages, page * pageBytes);

describe('a spare', () => {
  it('has all pages after the first round, and gets the changed ones alone in the next', async () => {
    await keepOneRound();
    expect(status()).toMatchObject({ site: 'b1', error: null, currentAt: 1_000 });
    expect(status().lastBytes).toBeGreaterThan(pages.length);
    writeTo(7);
    clock.turn(everyMs);
    await rounds(2);
    expect(status().lastBytes).toBeGreaterThan(pageBytes);
    expect(status().lastBytes).toBeLessThan(2 * pageBytes);
    expect(status().bytes).toBeGreaterThan(pages.length + pageBytes);
    const base = await keeper.baseAt(service, 'b1');
    expect(room.baseOf(service, base!.name, 'a1').equals(pages)).toBe(true);
    expect(base!.index.find(pages.subarray(7 * pageBytes, 8 * pageBytes))).toBe(7);
  });

  it('leaves nothing on disk on either side', async () => {
    await keepOneRound();
    await expect
      .poll(() =>
        ['source/sparing', 'target/spared'].flatMap((name) =>
          existsSync(join(home, name)) ? readdirSync(join(home, name)) : [],
        ),
      )
      .toEqual([]);
  });

  it('is nothing for a move to another site, by another site, or by another name', async () => {
    await keepOneRound();
    const base = await keeper.baseAt(service, 'b1');
    expect(await keeper.baseAt(service, 'c1')).toBeNull();
    expect(await keeper.baseAt('other.example', 'b1')).toBeNull();
    for (const [name, from] of [
      [base!.name, 'a2'],
      [crypto.randomUUID(), 'a1'],
    ] as const)
      expect(() => room.baseOf(service, name, from)).toThrow(
        expect.objectContaining({ code: 'SPARE_UNKNOWN' }),
      );
  });

  it('goes with its link, and all of it is sent again by the next one', async () => {
    await keepOneRound();
    const base = await keeper.baseAt(service, 'b1');
    links[0]!.close();
    expect(await keeper.baseAt(service, 'b1')).toBeNull();
    await expect
      .poll(() => {
        try {
          return room.baseOf(service, base!.name, 'a1') !== null;
        } catch {
          return false;
        }
      })
      .toBe(false);
    clock.turn(everyMs);
    await rounds(2);
    expect(links).toHaveLength(2);
    expect(status().lastBytes).toBeGreaterThan(pages.length);
  });

  it('says why a round failed, and sends all of it again after that', async () => {
    await keepOneRound();
    phase = 'frozen';
    clock.turn(everyMs);
    await expect.poll(() => status().error?.code).toBe('POD_NOT_RUNNING');
    expect(await keeper.baseAt(service, 'b1')).toBeNull();
    phase = 'running';
    clock.turn(everyMs);
    await rounds(2);
    expect(status().error).toBeNull();
    expect(status().lastBytes).toBeGreaterThan(pages.length);
  });

  it('begins no round while a move is under way, and goes on after it', async () => {
    await keepOneRound();
    busy = true;
    clock.turn(3 * everyMs);
    expect(clock.pending).toBe(1);
    expect(status().rounds).toBe(1);
    busy = false;
    clock.turn(everyMs);
    await rounds(2);
  });

  it('gives a round up for a move that begins, and what arrived before it counts', async () => {
    await keepOneRound();
    const before = await keeper.baseAt(service, 'b1');
    held = true;
    clock.turn(everyMs);
    await expect.poll(() => clock.pending).toBe(0);
    const asked = keeper.baseAt(service, 'b1');
    await expect.poll(() => clock.pending).toBe(1);
    clock.turn(250);
    expect((await asked)?.name).toBe(before!.name);
    expect(status().error).toBeNull();
    held = false;
    clock.turn(everyMs);
    await rounds(2);
    expect(status().lastBytes).toBeLessThan(2 * pageBytes);
  });

  it('ends when it is dropped, in the midst of a round too', async () => {
    await keepOneRound();
    held = true;
    clock.turn(everyMs);
    keeper.drop(service);
    expect(keeper.status()).toEqual([]);
    expect(links[0]!.isOpen).toBe(false);
    clock.turn(10 * everyMs);
    expect(clock.pending).toBe(0);
  });

  it('is told to another site in place of the first', async () => {
    await keepOneRound();
    keeper.keep(service, target, everyMs);
    expect(links).toHaveLength(1);
    keeper.keep(service, { ...target, name: 'c1' }, everyMs);
    await rounds(1);
    expect(status().site).toBe('c1');
    expect(links.map(({ isOpen }) => isOpen)).toEqual([false, true]);
  });
});

describe('what a site holds of services elsewhere', () => {
  it('is bounded: four services, and no more than so much of each', async () => {
    for (const name of ['one', 'two', 'three', 'four']) keeper.keep(`${name}.example`, target, everyMs);
    await expect.poll(() => keeper.status().map(({ rounds: done }) => done)).toEqual([1, 1, 1, 1]);
    keeper.keep('five.example', target, everyMs);
    await expect
      .poll(() => keeper.status().find((one) => one.service === 'five.example')?.error?.code)
      .toBe('SPARES_TOO_MANY');
    keeper.drop('one.example');
    pages = randomBytes(9 << 20);
    keeper.keep('six.example', target, everyMs);
    await expect
      .poll(() => keeper.status().find((one) => one.service === 'six.example'))
      .toMatchObject({ rounds: 0, error: { code: expect.stringMatching(/^STATE_/) } });
  });

  it('comes from the site of the service alone', async () => {
    site = 'c1';
    keeper.keep(service, target, everyMs);
    await expect.poll(() => status().error?.code).toBe('SPARE_DENIED');
  });

  it('is not what builds on pages that are not there', async () => {
    const link = linkTo(room);
    const refused = new Promise((resolve) =>
      link
        .openStreamNow({
          kind: 'spare',
          service,
          name: crypto.randomUUID(),
          on: crypto.randomUUID(),
          delegation: { service, site },
        })
        .once('error', resolve),
    );
    expect(await refused).toMatchObject({ code: 'STATE_DAMAGED' });
    expect(await refused).toBeInstanceOf(MoveError);
  });
});
