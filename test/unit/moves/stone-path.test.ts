import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { plainLevel } from '../../../core/moves/compression-choice.ts';
import { receiveState, sendState } from '../../../core/moves/state-transfer.ts';
import { openSteppingStone, type SteppingStone } from '../../../core/moves/stepping-stone.ts';
import { lastingGiveUpMs, lastingLimits, lastingPort, StonePath } from '../../../core/moves/stone-path.ts';
import type { MoveError } from '../../../core/runtime/errors.ts';
import { listenLasting } from '../../../core/runtime/link/lasting-server.ts';
import type { LastingWay } from '../../../core/runtime/link/lasting-way.ts';
import type { IncomingStream } from '../../../core/runtime/link/link.ts';
import type { LinkIdentity } from '../../../core/runtime/link/link-tls.ts';
import { createRealTrust, type RealTrust } from '../../support/real-authority.ts';

let home: string;
let trust: RealTrust;
let source: LinkIdentity;
let target: LinkIdentity;
let stoneIdentity: LinkIdentity;
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'move-stone-'));
  trust = await createRealTrust(home);
  const addresses = ['127.0.0.1'];
  source = await trust.issue({ profile: 'site', name: 'a1', addresses });
  target = await trust.issue({ profile: 'site', name: 'b1', addresses });
  stoneIdentity = await trust.issue({ profile: 'stone', name: 'stone-a', addresses });
});
afterAll(() => rmSync(home, { recursive: true, force: true }));

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

/** A site at the far end, a stone that may dial it alone, and the way of another site over both. */
async function wayToTarget(onStream: (incoming: IncomingStream) => void) {
  const ways: LastingWay[] = [];
  const refused: MoveError[] = [];
  const server = await listenLasting({
    host: '127.0.0.1',
    port: 0,
    identity: () => target,
    verifyPeer: (certificate) => void trust.authoriseAt('b1')(certificate, { remoteAddress: undefined }),
    handlers: { onStream },
    limits: lastingLimits,
    giveUpMs: lastingGiveUpMs,
    onLink: (_link, way) => void ways.push(way),
    onRefused: (error) => void refused.push(error),
  });
  open.push(() => server.close());
  const there = { name: 'b1', address: '127.0.0.1', port: server.port - 1 };
  const verifyPeer = (certificate: Parameters<ReturnType<RealTrust['authoriseAt']>>[0]) =>
    void trust.authoriseAt('a1')(certificate, { remoteAddress: undefined });
  const startStone = (port: number): Promise<SteppingStone> =>
    openSteppingStone({
      listen: { name: 'stone-a', address: '127.0.0.1', port },
      identity: () => stoneIdentity,
      verifyPeer,
      allowed: () => [{ ...there, port: lastingPort(there) }],
      onRefused: (error) => void refused.push(error),
    });
  const stone = { running: await startStone(0) };
  const stonePort = stone.running.server.port;
  open.push(() => stone.running.close());
  const path = new StonePath({
    stone: { name: 'stone-a', address: '127.0.0.1', port: stonePort },
    identity: () => source,
    verifyPeer,
  });
  open.push(() => path.close());
  return {
    path,
    there,
    ways,
    refused,
    /** The stone goes with everything that it relays, and comes back. */
    async restartStone() {
      await stone.running.close();
      stone.running = await startStone(stonePort);
    },
  };
}

it('brings a state whole to the other site while the stone goes away and comes back in the middle of it', async () => {
  const from = join(home, 'from');
  const to = join(home, 'to');
  mkdirSync(from);
  const pages = randomBytes(12 << 20);
  writeFileSync(join(from, 'pages-1.img'), pages);
  const received = Promise.withResolvers<{ intact: boolean }>();
  const { path, there, restartStone } = await wayToTarget(({ accept }) => {
    receiveState(accept(), to, 64 << 20, { isPlain: true }).then(received.resolve, received.reject);
  });
  const link = await path.link(there, 'site');
  let restarted: Promise<void> | undefined;
  const sent = await sendState(from, link.openStreamNow({ kind: 'state' }), {
    level: plainLevel,
    onProgress: ({ bytes }) => {
      if (bytes > 4 << 20) restarted ??= restartStone();
    },
  });
  await restarted;
  expect(restarted).toBeDefined();
  expect(sent.stateBytes).toBe(12 << 20);
  expect(await received.promise).toMatchObject({ intact: true });
  expect(readFileSync(join(to, 'pages-1.img')).equals(pages)).toBe(true);
  expect(link.isOpen).toBe(true);
  link.close();
}, 60_000);

it('is refused to a target that the stone does not dial', async () => {
  const { path, there, refused } = await wayToTarget(() => undefined);
  await expect(path.link({ ...there, port: there.port + 7 }, 'site')).rejects.toMatchObject({
    code: 'RELAY_DENIED',
  });
  expect(refused.map(({ code }) => code)).toEqual(['RELAY_DENIED']);
});
