import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo, Server } from 'node:net';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { agentContract } from '../../../core/contract/agent-contract.ts';
import type { AnyContract, ClientMessage, Handlers, ServerMessage } from '../../../core/contract/channel.ts';
import { serveContract } from '../../../core/contract/channel.ts';
import { contract } from '../../../core/contract/contract.ts';
import { serveControl } from '../../../core/lab/control-server.ts';
import { AttributeMemory } from '../../../core/moves/sftp/attribute-memory.ts';
import { sftpNumber, sftpString } from '../../../core/moves/sftp/frames.ts';
import { SftpRelay } from '../../../core/moves/sftp/sftp-relay.ts';
import { Directory } from '../../../core/overlay/directory/directory.ts';
import { createHttpProxy } from '../../../core/overlay/forwarder/http-proxy.ts';
import { createSocksProxy } from '../../../core/overlay/forwarder/socks-proxy.ts';
import type { ForwarderStatus } from '../../../core/overlay/forwarder/status.ts';
import type { Ways } from '../../../core/overlay/forwarder/ways.ts';
import { MoveError, toMoveError } from '../../../core/runtime/errors.ts';
import { webSocketPort } from '../../../core/runtime/message-ports/web-socket-port.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { linkedPair } from '../../support/linked-pair.ts';
import { World } from '../ring/world.ts';
import { chunked, wireValue } from './wire.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));
const options = (numRuns: number) => ({ numRuns, seed: 2_005 });
const binary = (maxLength: number) => fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes));

/** Handlers that answer everything that their contract's schemas let through. */
function answering<C extends AnyContract>(_contract: C, taken: () => void): Handlers<C, null> {
  const answer = () => {
    taken();
    return {};
  };
  return new Proxy({}, { get: () => answer }) as Handlers<C, null>;
}

const messageOf = (names: string[]) => {
  const method = fc.oneof(fc.constantFrom(...names, '__proto__', 'constructor'), wireValue);
  const id = fc.oneof(fc.integer({ min: 0, max: 3 }), wireValue);
  const input = fc.oneof(
    fc.record(
      { serial: wireValue, reason: wireValue, service: wireValue, site: wireValue, move: wireValue },
      { requiredKeys: [] },
    ),
    wireValue,
  );
  return fc.oneof(
    fc.record({ id, call: method, input }, { requiredKeys: ['id', 'call'] }),
    fc.record({ id, listen: method, input }),
    fc.record({ id, cancel: fc.constant(true) }),
    fc.record({ id }),
    wireValue.filter((value) => typeof value === 'object' && value !== null),
  );
};

it.each([
  ['agents', agentContract as AnyContract],
  ['shells', contract as AnyContract],
])(
  'the contract of %s is answered or the line is closed, whatever is asked: 10,000 times',
  async (_of, served) => {
    const codes = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fc.array(messageOf(Object.keys(served)), { maxLength: 4 }), async (messages) => {
        let listener: (message: ClientMessage) => void = () => undefined;
        let closed: () => void = () => undefined;
        serveContract(
          served,
          answering(served, () => codes.add('taken')),
          null,
          {
            send: (message: ServerMessage) => {
              if ('error' in message) codes.add(message.error.code);
            },
            onMessage: (each) => {
              listener = each;
            },
            onClose: (each) => {
              closed = () => each(null);
            },
            close: () => codes.add('closed'),
          },
          (thrown) => toMoveError(thrown).toBody(),
        );
        for (const message of messages) listener(message as ClientMessage);
        await turn();
        closed();
      }),
      options(10_000),
    );
    expect([...codes]).toEqual(
      expect.arrayContaining(['taken', 'closed', 'UNKNOWN_METHOD', 'INVALID_INPUT']),
    );
  },
);

it('a name that is not a string closes the line', async () => {
  let closes = 0;
  let listener: (message: ClientMessage) => void = () => undefined;
  serveContract(
    contract,
    answering(contract, () => undefined),
    null,
    {
      send: () => undefined,
      onMessage: (each) => {
        listener = each;
      },
      onClose: () => undefined,
      close: () => {
        closes += 1;
      },
    },
    (thrown) => toMoveError(thrown).toBody(),
  );
  listener({ id: 1, call: { toString: 1, valueOf: 1 }, input: {} } as unknown as ClientMessage);
  await turn();
  expect(closes).toBe(1);
});

it('a directory answers or refuses, whatever it is told: 10,000 times', { timeout: 120_000 }, async () => {
  const world = new World();
  const [first, second] = world.ring(4);
  await world.pass(1000);
  const directory = new Directory({
    ring: world.nodes.get(first!.name)!,
    transport: world.network.transportOf(first!),
    clock: world.clock,
    verify: () => {
      throw new MoveError('RECORD_INVALID', 'It proves nothing.');
    },
    onEvent: () => undefined,
  });
  const service = fc.oneof(fc.constant('shop.example'), wireValue);
  const params = fc.oneof(
    fc.record(
      { service, record: wireValue, peer: wireValue, epoch: wireValue, name: wireValue },
      { requiredKeys: [] },
    ),
    wireValue,
  );
  const method = fc.constantFrom(
    ...['announce', 'store', 'fetch', 'watch', 'unwatch', 'changed', 'x'].map((name) => `directory.${name}`),
  );
  const caller = fc.constantFrom(
    { role: 'overlay', name: second!.name, services: [], serial: '01', identifier: second!.identifier },
    { role: 'site', name: 'a1', services: ['*'], serial: '02', identifier: second!.identifier },
    { role: 'client', name: 'ada', services: ['*'], serial: '03', identifier: second!.identifier },
  );
  const codes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(method, params, caller, async (asked, told, from) => {
      try {
        await world.during(directory.handle(asked, told, from));
        codes.add('answered');
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(MoveError);
        codes.add((thrown as MoveError).code);
      }
    }),
    options(10_000),
  );
  directory.close();
  expect([...codes]).toEqual(expect.arrayContaining(['answered', 'DIRECTORY_DENIED']));
});

const sftpMessage = fc
  .tuple(
    fc.oneof(fc.constantFrom(1, 2, 3, 4, 5, 11, 12, 13, 17, 101, 102, 103, 104, 105, 200), fc.nat(255)),
    fc.nat(3),
    fc.oneof(
      fc.constantFrom('/', '/a', 'h1').map((path) => Buffer.concat([sftpString(path), sftpNumber(1)])),
      binary(24),
    ),
  )
  .map(([type, id, rest]) => {
    const body = Buffer.concat([Buffer.from([type]), sftpNumber(id), rest]);
    return Buffer.concat([sftpNumber(body.length), body]);
  });
/** What one side says after its first message: 1 greets, 2 answers with the version. */
const sftpBytes = (first: 1 | 2) =>
  chunked(
    fc
      .array(fc.oneof({ weight: 20, arbitrary: sftpMessage }, { weight: 1, arbitrary: binary(12) }), {
        maxLength: 6,
      })
      .map((parts) => Buffer.concat([Buffer.from([0, 0, 0, 5, first, 0, 0, 0, 3]), ...parts])),
  );

it('a relay of SFTP ends with a reason or goes on, whatever both sides say: 5,000 times', {
  timeout: 120_000,
}, async () => {
  const codes = new Set<string>();
  await fc.assert(
    fc.asyncProperty(sftpBytes(1), sftpBytes(2), fc.boolean(), async (asked, answered, linked) => {
      const clock = new HandClock();
      const [near, far] = linkedPair();
      const storages: ReturnType<typeof linkedPair>[1][] = [];
      near.on('error', () => undefined);
      near.resume();
      new SftpRelay({
        client: far,
        dial: () => {
          if (!linked) return null;
          const [storage, other] = linkedPair();
          other.on('error', () => undefined);
          other.resume();
          storages.push(other);
          return storage;
        },
        memory: new AttributeMemory(clock),
        clock,
        onFault: (error) => codes.add(error.code),
      });
      for (const chunk of asked) near.write(chunk);
      await turn();
      await turn();
      for (const storage of storages)
        for (const chunk of answered) if (!storage.destroyed) storage.write(chunk);
      await turn();
      clock.turn(5_000);
      codes.add(near.destroyed ? 'ended' : 'goes on');
      near.destroy();
      for (const storage of storages) storage.destroy();
      await turn();
    }),
    options(5_000),
  );
  expect([...codes]).toEqual(expect.arrayContaining(['ended', 'goes on', 'SFTP_MALFORMED']));
});

/** What comes back over a connection of its own, until the far end or 300 ms of silence ends it. */
function converse(to: number | string, said: readonly Buffer[]): Promise<Buffer> {
  return new Promise((resolve) => {
    const socket = typeof to === 'number' ? connect({ host: '127.0.0.1', port: to }) : connect(to);
    const parts: Buffer[] = [];
    socket.on('data', (part: Buffer) => parts.push(part));
    socket.on('error', () => undefined);
    socket.setTimeout(300, () => socket.destroy());
    socket.on('close', () => resolve(Buffer.concat(parts)));
    for (const chunk of said) socket.write(chunk);
    socket.end();
  });
}

const lost = async () => {
  throw new MoveError('ACCESS_POINT_LOST', 'No access point answers.');
};
const doors = {
  ways: { open: lost, onStale: () => undefined } as unknown as Ways,
  status: () => ({ line: 'nothing to tell' }) as ForwarderStatus,
  services: ['shop.example'],
  openDeadlineMs: 100,
};

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** Plays `numRuns` conversations, some at a time, and hands each answer to `look`. */
async function play(
  arbitrary: fc.Arbitrary<Buffer[]>,
  numRuns: number,
  to: number | string,
  look: (answer: Buffer) => void,
): Promise<void> {
  const all = fc.sample(arbitrary, options(numRuns));
  const next = all.values();
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      for (const said of next) look(await converse(to, said));
    }),
  );
}

it('the SOCKS proxy answers or hangs up, whatever a program says: 3,000 times', {
  timeout: 60_000,
}, async () => {
  const server = createSocksProxy({ ...doors, events: () => undefined });
  const port = await listening(server);
  const name = fc.constantFrom('shop.example', 'other.example', '\0', 'ä'.repeat(60)).map((text) => {
    const bytes = Buffer.from(text);
    return Buffer.concat([Buffer.from([3, bytes.length]), bytes, Buffer.from([0, 80])]);
  });
  const request = fc
    .tuple(fc.constantFrom(5, 5, 5, 4), fc.constantFrom(1, 1, 2, 9), fc.oneof(name, binary(20)))
    .map(([version, command, rest]) => Buffer.concat([Buffer.from([version, command, 0]), rest]));
  const greeting = fc.oneof(
    fc.constant(Buffer.from([5, 1, 0])),
    fc.constant(Buffer.from([5, 1, 2])),
    binary(6),
  );
  const heads = new Set<string>();
  await play(
    chunked(fc.tuple(greeting, request, binary(10)).map((parts) => Buffer.concat(parts))),
    3_000,
    port,
    (answer) => heads.add(answer.toString('hex').slice(0, 8)),
  );
  // Nothing at all; methods refused; refused as not protected; no access point; command, address refused.
  expect([...heads]).toEqual(
    expect.arrayContaining(['', '05ff', '05000502', '05000501', '05000507', '05000508']),
  );
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

it('the HTTP proxy answers or hangs up, whatever a program says: 3,000 times', {
  timeout: 60_000,
}, async () => {
  const server = createHttpProxy(doors);
  const port = await listening(server);
  const target = fc.oneof(
    fc.constantFrom(
      'http://shop.example/',
      'http://other.example/',
      '/proxy.pac',
      'shop.example:80',
      '*',
      'http://[',
    ),
    fc.string({ maxLength: 30 }),
  );
  const field = fc.oneof(
    fc.constantFrom(
      ...['Host: shop.example', 'Connection: close, x', 'Transfer-Encoding: chunked', 'Content-Length: 5'],
      ...['Content-Length: -1', 'Upgrade: websocket', 'Expect: 100-continue', `X: ${'y'.repeat(20_000)}`],
    ),
    fc.string({ maxLength: 20 }).map((text) => `X: ${text}`),
    fc.string({ maxLength: 20 }),
  );
  const request = fc
    .tuple(
      fc.constantFrom('GET', 'GET', 'CONNECT', 'POST', 'HEAD', 'BREW', ''),
      target,
      fc.tuple(
        fc.oneof({ weight: 6, arbitrary: fc.constant(`Host: 127.0.0.1:${port}`) }, field),
        fc.array(field, { maxLength: 2 }),
      ),
      fc.oneof(fc.constant('0\r\n\r\n'), fc.constant('hello'), fc.string({ maxLength: 20 })),
    )
    .map(([method, url, fields, body]) =>
      Buffer.from(
        `${method} ${url} HTTP/1.1\r\n${[fields[0], ...fields[1]].map((each) => `${each}\r\n`).join('')}\r\n${body}`,
      ),
    );
  const statuses = new Set<string>();
  await play(
    chunked(fc.oneof(request, binary(60)).map((bytes) => Buffer.from(bytes))),
    3_000,
    port,
    (answer) => {
      const first = answer.toString('latin1').split('\r\n')[0]!;
      if (first !== '') expect(first).toMatch(/^HTTP\/1\.1 \d{3} /);
      statuses.add(first.slice(9, 12));
    },
  );
  expect([...statuses]).toEqual(expect.arrayContaining(['400', '403', '431', '200']));
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

it("the lab's control socket answers every line, whatever it says: 2,000 times", {
  timeout: 60_000,
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'move-fuzz-'));
  const path = join(directory, 'lab.sock');
  const server = await serveControl(path, async () => ({}));
  const request = fc.oneof(
    fc.record(
      {
        command: fc.oneof(
          fc.constantFrom('status', 'down', 'counters', 'power', 'link', 'rotate'),
          wireValue,
        ),
        host: fc.oneof(fc.constant('a1'), wireValue),
        on: fc.oneof(fc.boolean(), wireValue),
      },
      { requiredKeys: ['command'] },
    ),
    wireValue,
  );
  const line = fc.oneof(
    request.map((value) => Buffer.from(`${JSON.stringify(value)}\n`)),
    binary(20).map((bytes) => Buffer.concat([bytes, Buffer.from('\n')])),
  );
  const seen = new Set<string>();
  await play(
    chunked(fc.array(line, { maxLength: 4 }).map((lines) => Buffer.concat(lines))),
    2_000,
    path,
    (answer) => {
      for (const each of answer.toString().split('\n').filter(Boolean)) {
        const { ok, error } = JSON.parse(each) as { ok: boolean; error?: { code: string } };
        seen.add(ok ? 'ok' : error!.code);
      }
    },
  );
  expect([...seen]).toEqual(expect.arrayContaining(['ok', 'LAB_REQUEST_INVALID']));
  await new Promise((resolve) => server.close(resolve));
  rmSync(directory, { recursive: true });
});

it("a window's WebSocket is answered or closed, whatever it says: 2,000 times", {
  timeout: 60_000,
}, async () => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, maxPayload: 1_000 });
  const ends = new Set<string>();
  server.on('connection', (socket) => {
    const port = webSocketPort<ServerMessage, ClientMessage>(socket);
    port.onClose((error) => ends.add(error?.code ?? 'closed'));
    serveContract(
      contract,
      answering(contract, () => ends.add('taken')),
      null,
      port,
      (thrown) => toMoveError(thrown).toBody(),
    );
  });
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  const said = fc.array(
    fc.oneof(
      { weight: 5, arbitrary: messageOf(Object.keys(contract)).map((message) => JSON.stringify(message)) },
      {
        weight: 1,
        arbitrary: fc.oneof(fc.string({ maxLength: 30 }), binary(20), fc.constant('x'.repeat(2_000))),
      },
    ),
    { maxLength: 4 },
  );
  const next = fc.sample(said, options(2_000)).values();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (const messages of next) {
        const socket = new WebSocket(`ws://127.0.0.1:${port}`);
        socket.on('error', () => undefined);
        const closed = new Promise((resolve) => socket.once('close', resolve));
        await new Promise((resolve) => socket.once('open', resolve));
        for (const message of messages) socket.send(message);
        socket.close();
        await closed;
      }
    }),
  );
  expect([...ends]).toEqual(expect.arrayContaining(['taken', 'closed', 'PROTOCOL_ERROR']));
  await new Promise((resolve) => server.close(resolve));
});
