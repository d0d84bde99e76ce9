import { duplexPair } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { relayHeaderSchema } from '../../../core/moves/stepping-stone.ts';
import {
  serviceHeaderSchema,
  servletHeaderSchema,
  sessionHeaderSchema,
} from '../../../core/overlay/stream-headers.ts';
import { StreamRouter } from '../../../core/overlay/stream-router.ts';
import { parsePeer } from '../../../core/ring/messages.ts';
import { MoveError } from '../../../core/runtime/errors.ts';
import { defaultLimits, Link } from '../../../core/runtime/link/link.ts';
import { createTestAuthority, readTestIdentity } from '../../support/authority.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { chunked, linkBytes } from './wire.ts';

let certificate: Link['peerCertificate'];
beforeAll(async () => {
  const issued = await (await createTestAuthority()).issue({ role: 'overlay', name: 'node-1' });
  certificate = issued.certificate;
});

/** Kinds of streams that were asked for in the right way. */
const opened = new Set<string>();

/** A host's end of a link with something registered of every kind, and the far end's bare socket. */
function host() {
  const router = new StreamRouter({ readIdentity: readTestIdentity, events: () => undefined });
  const kinds = { service: serviceHeaderSchema, servlet: servletHeaderSchema, session: sessionHeaderSchema };
  for (const [kind, schema] of Object.entries({ ...kinds, relay: relayHeaderSchema }))
    router.registerStream<unknown>({
      kind,
      roles: ['overlay'],
      schema,
      where: 'stream',
      handle: ({ accept }) => {
        opened.add(kind);
        accept().resume();
      },
    });
  router.registerCall({ method: 'ring.notify', roles: ['overlay'], handle: (params) => parsePeer(params) });
  router.registerNotice({
    method: 'ring.step',
    roles: ['overlay'],
    handle: (params) => {
      parsePeer(params);
    },
  });
  const [near, far] = duplexPair();
  far.resume();
  far.on('error', () => undefined);
  const link = new Link({
    socket: near as TLSSocket,
    side: 'server',
    peerCertificate: certificate,
    remoteAddress: undefined,
    peerWindowBytes: 65_536,
    handlers: router.handlers,
    limits: { ...defaultLimits, maxStreams: 4, maxCalls: 4 },
    clock: new HandClock(),
    verifyPeer: () => undefined,
  });
  return { link, far };
}

it('a link ends with a reason or goes on, whatever its peer says: 40,000 conversations', {
  timeout: 180_000,
}, async () => {
  const codes = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(chunked(linkBytes), async (chunks) => {
      const { link, far } = host();
      for (const chunk of chunks) far.write(chunk);
      await new Promise((resolve) => setImmediate(resolve));
      await new Promise((resolve) => setImmediate(resolve));
      if (link.isOpen) {
        expect(link.streamCount).toBeLessThanOrEqual(4);
        link.close();
      }
      const reason = await link.closed;
      const code = reason?.code ?? 'closed';
      codes.set(code, (codes.get(code) ?? 0) + 1);
      if (reason) expect(reason).toBeInstanceOf(MoveError);
      far.destroy();
    }),
    { numRuns: 40_000, seed: 2_005 },
  );
  // Both ends of the story were told.
  expect(codes.get('LINK_PROTOCOL')).toBeGreaterThan(1_000);
  expect(codes.get('closed')).toBeGreaterThan(1_000);
  expect([...opened].sort()).toEqual(['relay', 'service', 'servlet', 'session']);
});
