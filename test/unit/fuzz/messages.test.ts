import { duplexPair } from 'node:stream';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SftpFields, SftpFrameReader } from '../../../core/moves/sftp/frames.ts';
import { registerClientCalls } from '../../../core/overlay/client-calls.ts';
import { verifyLocationRecord } from '../../../core/overlay/location-record.ts';
import { verifyNodeList } from '../../../core/overlay/node-list.ts';
import { ServiceWatch } from '../../../core/overlay/service-watch.ts';
import { ResumableSession } from '../../../core/overlay/session/resumable-session.ts';
import {
  frameStart,
  offsetFrame,
  sessionFrame,
  sessionFrameHeaderBytes,
} from '../../../core/overlay/session/session-wire.ts';
import { StreamRouter } from '../../../core/overlay/stream-router.ts';
import { MoveError } from '../../../core/runtime/errors.ts';
import type { Link } from '../../../core/runtime/link/link.ts';
import { jsonLinesPort } from '../../../core/runtime/message-ports/json-lines-port.ts';
import { createTestAuthority, readTestIdentity } from '../../support/authority.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { World } from '../ring/world.ts';
import { chunked, wireValue } from './wire.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));
const options = (numRuns: number) => ({ numRuns, seed: 2_005 });

/** What came of it: nothing, or the code of a MoveError. Anything else is a crash. */
function outcome(act: () => unknown): string {
  try {
    act();
    return 'taken';
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(MoveError);
    return (thrown as MoveError).code;
  }
}

const reply = fc
  .tuple(
    fc.oneof(fc.constant('MVS1'), fc.string({ maxLength: 4 })),
    fc.integer({ min: 0, max: 6 }),
    fc.bigInt(0n, 1n << 63n),
  )
  .map(([magic, status, received]) => {
    const bytes = Buffer.alloc(13);
    bytes.write(magic, 0, 'latin1');
    bytes.writeUInt8(status, 4);
    bytes.writeBigUInt64BE(status === 0 && received % 2n === 0n ? 0n : received, 5);
    return bytes;
  });
const sessionPart = fc.oneof(
  fc
    .tuple(fc.constantFrom(sessionFrame.ack, sessionFrame.fin), fc.integer({ min: 0, max: 200 }))
    .map(([type, offset]) => offsetFrame(type, offset)),
  fc
    .uint8Array({ maxLength: 60 })
    .map((bytes) => Buffer.concat([frameStart(sessionFrame.data, bytes.length), Buffer.from(bytes)])),
  fc.constantFrom(sessionFrame.finack, sessionFrame.reset, 77).map((type) => frameStart(type, type % 5)),
  fc.uint8Array({ maxLength: sessionFrameHeaderBytes + 3 }).map((bytes) => Buffer.from(bytes)),
);
const gatewayBytes = fc
  .tuple(reply, fc.array(sessionPart, { maxLength: 6 }))
  .map(([first, parts]) => Buffer.concat([first, ...parts]));

it('a session ends with a reason or goes on, whatever its gateway says: 20,000 times', {
  timeout: 180_000,
}, async () => {
  const codes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(chunked(gatewayBytes), fc.string({ maxLength: 50 }), async (chunks, said) => {
      const session = new ResumableSession({ id: Buffer.alloc(16, 7), port: 80, clock: new HandClock() });
      session.resume();
      if (said) session.write(said);
      const [near, far] = duplexPair();
      far.resume();
      far.on('error', () => undefined);
      const attached = session.attach(near).then(
        () => 'attached',
        (thrown: unknown) => {
          expect(thrown).toBeInstanceOf(MoveError);
          return (thrown as MoveError).code;
        },
      );
      for (const chunk of chunks) far.write(chunk);
      await turn();
      await turn();
      expect(session.bufferedBytes).toBeLessThan(1 << 20);
      session.destroy();
      codes.add(await attached);
      far.destroy();
    }),
    options(20_000),
  );
  expect([...codes]).toEqual(expect.arrayContaining(['attached', 'SESSION_PROTOCOL', 'SERVICE_REFUSED']));
});

it('a member of the ring answers or refuses, whatever it is told: 15,000 times', {
  timeout: 180_000,
}, async () => {
  const world = new World();
  const [first, second] = world.ring(4);
  await world.pass(1000);
  const node = world.nodes.get(first!.name)!;
  const peer = fc.oneof(
    fc.constantFrom(...[first!, second!].map((each) => ({ ...each }))),
    fc.record({
      identifier: fc.oneof(fc.constant(second!.identifier), wireValue),
      name: wireValue,
      address: wireValue,
    }),
    wireValue,
  );
  const params = fc.oneof(
    fc.record({
      peer,
      predecessor: fc.oneof(fc.constant(null), peer),
      successors: fc.array(peer, { maxLength: 5 }),
    }),
    fc.record({ key: fc.oneof(fc.constant(second!.identifier), wireValue) }),
    wireValue,
  );
  const methods = fc.constantFrom(
    'ring.ping',
    'ring.state',
    'ring.step',
    'ring.notify',
    'ring.leaving',
    'ring.x',
  );
  const caller = fc.constantFrom(
    { role: 'overlay', name: second!.name, identifier: second!.identifier },
    { role: 'client', name: 'ada', identifier: second!.identifier },
  );
  const codes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(methods, params, caller, async (method, told, from) => {
      try {
        await node.handle(method, told, from);
        codes.add('answered');
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(MoveError);
        codes.add((thrown as MoveError).code);
      }
      expect(node.status().successors.length).toBeLessThanOrEqual(16);
    }),
    options(15_000),
  );
  expect([...codes]).toEqual(
    expect.arrayContaining(['answered', 'RING_BAD_MESSAGE', 'RING_DENIED', 'RING_IDENTITY_MISMATCH']),
  );
});

it('a location record is proven or refused, whatever it claims: 5,000 times', () => {
  const text = fc.oneof(fc.constantFrom('shop.example', 'a1', 'AAAA'), wireValue);
  const number = fc.oneof(fc.constantFrom(1, 1_000, 20_000), wireValue);
  const delegation = fc.record({
    service: text,
    site: text,
    epoch: number,
    serviceCertificatePem: text,
    signature: text,
  });
  const record = fc.oneof(
    fc.record({
      ...{ service: text, site: text, address: fc.oneof(fc.constant('192.0.2.1:7400'), wireValue) },
      ...{ epoch: number, issuedAt: number, expiresAt: number, siteCertificatePem: text, signature: text },
      delegation: fc.oneof(delegation, wireValue),
    }),
    wireValue,
  );
  fc.assert(
    fc.property(record, (candidate) => {
      expect(
        outcome(() =>
          verifyLocationRecord(candidate, { trustPem: [], readIdentity: readTestIdentity, now: 1_500 }),
        ),
      ).toMatch(/^RECORD_/);
    }),
    options(5_000),
  );
});

it('a list of overlay nodes is proven or refused, whatever it claims: 1,000 times', async () => {
  const { certificatePem } = await createTestAuthority();
  const number = fc.oneof(fc.constantFrom(1, 1_000, 20_000), wireValue);
  const node = fc.oneof(
    fc.record({
      name: fc.oneof(fc.constant('node-1'), fc.string({ unit: 'binary', maxLength: 3 }), wireValue),
      address: fc.oneof(fc.constant('192.0.2.1:7400'), wireValue),
      identifier: fc.oneof(fc.constant('ab'), wireValue),
    }),
    wireValue,
  );
  const list = fc.oneof(
    fc.record({
      ...{ version: number, issuedAt: number, expiresAt: number },
      nodes: fc.oneof(fc.array(node, { maxLength: 3 }), wireValue),
      signature: fc.oneof(fc.constant('AAAA'), wireValue),
    }),
    wireValue,
  );
  fc.assert(
    fc.property(list, (candidate) => {
      expect(outcome(() => verifyNodeList(candidate, { trustPem: [certificatePem], now: 1_500 }))).toMatch(
        /^NODE_LIST_INVALID$|^VALUE_NOT_JSON$/,
      );
    }),
    options(1_000),
  );
});

it('what clients ask of an access point is answered or refused, however it is put: 6,000 times', async () => {
  const client = { role: 'client', name: 'ada', services: ['shop.example'], serial: '01' };
  const router = new StreamRouter({ readIdentity: () => client, events: () => undefined });
  const clock = new HandClock();
  const locator = {
    locate: async () => {
      throw new MoveError('SERVICE_NOT_FOUND', 'Nobody announces it.');
    },
    watch: () => () => undefined,
  };
  registerClientCalls({
    router,
    watch: new ServiceWatch(locator, clock),
    name: 'node-1',
    nodeList: () => undefined,
    homeOf: () => 'a1',
    renew: async () => {
      throw new MoveError('RENEWAL_DENIED', 'Not today.');
    },
  });
  const link = {
    closed: new Promise(() => undefined),
    isOpen: true,
    notify: () => undefined,
  } as unknown as Link;
  const params = fc.oneof(
    fc.record({ service: fc.oneof(fc.constant('shop.example'), wireValue) }),
    fc.record({ requestPem: fc.oneof(fc.constant('-----BEGIN X'), wireValue) }),
    wireValue,
  );
  const seen = new Set<string>();
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('nodes.list', 'location.home', 'certificate.renew'),
      params,
      async (method, given) => {
        try {
          await router.handlers.onCall!(method, given, link);
          seen.add('answered');
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(MoveError);
          seen.add((thrown as MoveError).code);
        }
      },
    ),
    options(6_000),
  );
  expect([...seen].sort()).toEqual([
    'NODE_LIST_MISSING',
    'RENEWAL_DENIED',
    'REQUEST_INVALID',
    'SCOPE_DENIED',
    'SERVICE_NOT_FOUND',
  ]);
});

it('messages of SFTP are read or refused, however they are made: 10,000 times', () => {
  const frame = fc
    .tuple(
      fc.integer({ min: 0, max: 255 }),
      fc.uint8Array({ maxLength: 40 }),
      fc.option(fc.integer({ min: 0, max: 0xffffffff }), { freq: 10 }),
    )
    .map(([type, payload, claimed]) => {
      const head = Buffer.alloc(5);
      head.writeUInt32BE(claimed ?? payload.length + 1, 0);
      head.writeUInt8(type, 4);
      return Buffer.concat([head, payload]);
    });
  const seen = new Set<string>();
  fc.assert(
    fc.property(
      chunked(fc.array(frame, { maxLength: 5 }).map((frames) => Buffer.concat(frames))),
      (chunks) => {
        const reader = new SftpFrameReader(({ payload }) => {
          const fields = new SftpFields(payload);
          seen.add(outcome(() => [fields.number(), fields.string(), fields.number()]));
        });
        for (const chunk of chunks) {
          const how = outcome(() => reader.push(chunk));
          seen.add(how);
          if (how !== 'taken') return;
        }
      },
    ),
    options(10_000),
  );
  expect([...seen].sort()).toEqual(['SFTP_FRAME_TOO_LARGE', 'SFTP_MALFORMED', 'taken']);
});

it('a port of JSON lines delivers objects and ends at anything else: 10,000 times', {
  timeout: 120_000,
}, async () => {
  const line = fc.oneof(
    wireValue.map((value) => Buffer.from(`${JSON.stringify(value)}\n`)),
    fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)),
  );
  const ends = new Set<string>();
  await fc.assert(
    fc.asyncProperty(
      chunked(fc.array(line, { maxLength: 5 }).map((lines) => Buffer.concat(lines))),
      async (chunks) => {
        const [near, far] = duplexPair();
        far.on('error', () => undefined);
        near.on('error', () => undefined);
        const port = jsonLinesPort<object, object>(near, { maximumLineBytes: 200 });
        port.onMessage((message) => {
          expect(typeof message === 'object' && message !== null).toBe(true);
          ends.add('delivered');
        });
        port.onClose((error) => ends.add(error?.code ?? 'closed'));
        for (const chunk of chunks) far.write(chunk);
        await turn();
        port.close();
        far.destroy();
        await turn();
      },
    ),
    options(10_000),
  );
  expect([...ends]).toEqual(expect.arrayContaining(['delivered', 'PROTOCOL_ERROR']));
});
