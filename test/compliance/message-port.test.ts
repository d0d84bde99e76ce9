import fs from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { Duplex, duplexPair } from 'node:stream';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { z } from 'zod';
import {
  type AnyContract,
  type ClientMessage,
  createClient,
  type Handlers,
  type MessagePort,
  type ServerMessage,
  serveContract,
} from '../../core/contract/channel.ts';
import type { ErrorBody } from '../../core/contract/error-body.ts';
import { jsonLinesPort } from '../../core/runtime/message-ports/json-lines-port.ts';
import { memoryPorts } from '../../core/runtime/message-ports/memory-ports.ts';
import { maximumMessageBytes } from '../../core/runtime/message-ports/port-errors.ts';
import { relayPorts } from '../../core/runtime/message-ports/relay-ports.ts';
import { webSocketPort } from '../../core/runtime/message-ports/web-socket-port.ts';

interface Note {
  text: string;
}
type NotePort = MessagePort<Note, Note>;

const cleanUps: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

async function unixSockets(): Promise<[net.Socket, net.Socket]> {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'port-'));
  const server = net.createServer();
  const address = path.join(directory, 's');
  await new Promise<void>((resolve) => server.listen(address, resolve));
  const accepted = new Promise<net.Socket>((resolve) => server.once('connection', resolve));
  const dialled = net.connect(address);
  const other = await accepted;
  cleanUps.push(() => {
    dialled.destroy();
    other.destroy();
    server.close();
    fs.rmSync(directory, { recursive: true });
  });
  return [dialled, other];
}

async function webSockets(): Promise<[WebSocket, WebSocket]> {
  const server = http.createServer();
  const acceptor = new WebSocketServer({ server, maxPayload: maximumMessageBytes });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const accepted = new Promise<WebSocket>((resolve) => acceptor.once('connection', resolve));
  const dialled = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  cleanUps.push(() => {
    dialled.terminate();
    for (const client of acceptor.clients) client.terminate();
    server.close();
  });
  await new Promise((resolve) => dialled.once('open', resolve));
  return [dialled, await accepted];
}

const kinds: Record<string, () => Promise<[NotePort, NotePort]>> = {
  memory: async () => memoryPorts<Note, Note>(),
  'JSON lines over a duplex pair': async () => {
    const [left, right] = duplexPair();
    return [jsonLinesPort<Note, Note>(left), jsonLinesPort<Note, Note>(right)];
  },
  'JSON lines over a unix socket': async () => {
    const [left, right] = await unixSockets();
    return [jsonLinesPort<Note, Note>(left), jsonLinesPort<Note, Note>(right)];
  },
  'web socket': async () => {
    const [left, right] = await webSockets();
    return [webSocketPort<Note, Note>(left), webSocketPort<Note, Note>(right)];
  },
  relayed: async () => {
    const [left, near] = memoryPorts<Note, Note>();
    const [dialled, accepted] = await unixSockets();
    relayPorts(near, jsonLinesPort<Note, Note>(dialled));
    return [left, jsonLinesPort<Note, Note>(accepted)];
  },
};

const closeOf = (port: { onClose: NotePort['onClose'] }) =>
  new Promise<ErrorBody | null>((resolve) => port.onClose(resolve));
const collect = (port: NotePort, count: number) =>
  new Promise<Note[]>((resolve) => {
    const notes: Note[] = [];
    port.onMessage((note) => {
      notes.push(note);
      if (notes.length === count) resolve(notes);
    });
  });

const sumContract = {
  add: {
    kind: 'query',
    docs: 'Adds.',
    input: z.object({ a: z.number(), b: z.number() }),
    output: z.object({ sum: z.number() }),
  },
  hang: { kind: 'query', docs: 'Answers when cancelled.', input: z.object({}), output: z.object({}) },
  count: {
    kind: 'stream',
    docs: 'Counts.',
    input: z.object({ to: z.number() }),
    output: z.object({ at: z.number() }),
  },
} as const satisfies AnyContract;

describe.each(Object.entries(kinds))('message port: %s', (_name, make) => {
  test('carries messages both ways, in order, whole', async () => {
    const [left, right] = await make();
    const texts = Array.from({ length: 200 }, (_, i) => `${i} ä€😀 \n\r  "${'x'.repeat(i * 7)}`);
    const arrivedRight = collect(right, 200);
    const arrivedLeft = collect(left, 200);
    for (const text of texts) {
      left.send({ text });
      right.send({ text });
    }
    expect((await arrivedRight).map((n) => n.text)).toEqual(texts);
    expect((await arrivedLeft).map((n) => n.text)).toEqual(texts);
  });

  test('carries a message of four megabytes', async () => {
    const [left, right] = await make();
    const arrived = collect(right, 1);
    left.onMessage(() => undefined);
    left.send({ text: 'y'.repeat(4 << 20) });
    expect((await arrived)[0]?.text.length).toBe(4 << 20);
  });

  test('keeps what came before anybody listened', async () => {
    const [left, right] = await make();
    left.onMessage(() => undefined);
    left.send({ text: 'early' });
    left.send({ text: 'bird' });
    await new Promise((resolve) => setImmediate(resolve));
    expect((await collect(right, 2)).map((n) => n.text)).toEqual(['early', 'bird']);
  });

  test('delivers what was sent before close, then reports the end once on both sides', async () => {
    const [left, right] = await make();
    let ends = 0;
    const order: string[] = [];
    left.onMessage(() => undefined);
    left.onClose(() => ends++);
    right.onMessage((note) => order.push(note.text));
    right.onClose(() => order.push('closed'));
    const both = Promise.all([closeOf(left), closeOf(right)]);
    left.send({ text: 'last words' });
    left.close();
    left.close();
    left.send({ text: 'never' });
    expect(await both).toEqual([null, null]);
    expect(order).toEqual(['last words', 'closed']);
    expect(ends).toBe(1);
    expect(await closeOf(left)).toBeNull();
  });

  test('serves a contract: calls, faults, cancellation, streams, the end', async () => {
    const [left, right] = await make();
    let cancelled = false;
    let streamStopped = false;
    const handlers: Handlers<typeof sumContract, string> = {
      add: ({ a, b }) => ({ sum: a + b }),
      hang: (_input, { signal }) =>
        new Promise((resolve) => {
          signal.addEventListener('abort', () => {
            cancelled = true;
            resolve({});
          });
        }),
      count({ to }, { signal }, emit) {
        signal.addEventListener('abort', () => {
          streamStopped = true;
        });
        for (let at = 1; at <= to; at++) emit({ at });
      },
    };
    serveContract(
      sumContract,
      handlers,
      'test',
      right as unknown as MessagePort<ServerMessage, ClientMessage>,
      (thrown) => ({ code: 'THROWN', message: String(thrown) }),
    );
    const client = createClient<typeof sumContract>(
      left as unknown as MessagePort<ClientMessage, ServerMessage>,
    );
    expect(await client.call('add', { a: 1, b: 2 })).toEqual({ sum: 3 });
    await expect(client.call('add', { a: 1 } as never)).rejects.toMatchObject({ code: 'INVALID_INPUT' });
    await expect(client.call('nope' as never, {} as never)).rejects.toMatchObject({ code: 'UNKNOWN_METHOD' });

    const abort = new AbortController();
    const hanging = client.call('hang', {}, { signal: abort.signal });
    abort.abort();
    await expect(hanging).rejects.toMatchObject({ code: 'CANCELLED' });
    await client.call('add', { a: 1, b: 1 });
    expect(cancelled).toBe(true);

    const seen: number[] = [];
    await new Promise<void>((resolve) => {
      const stop = client.listen('count', { to: 5 }, ({ at }) => {
        seen.push(at);
        if (at === 5) resolve();
      });
      cleanUps.push(() => stop());
    });
    for (const stop of cleanUps.splice(-1)) await stop();
    expect(seen).toEqual([1, 2, 3, 4, 5]);
    await client.call('add', { a: 1, b: 1 });
    expect(streamStopped).toBe(true);

    const pending = client.call('hang', {});
    right.close();
    await expect(pending).rejects.toMatchObject({ code: 'DISCONNECTED' });
    expect(await client.closed).toBeNull();
  });
});

describe('JSON lines port: what it refuses', () => {
  const refused: [string, Buffer][] = [
    ['not JSON', Buffer.from('{nope\n')],
    ['not an object', Buffer.from('"text"\n')],
    ['null', Buffer.from('null\n')],
    ['an array', Buffer.from('[1]\n')],
    ['an empty line', Buffer.from('\n')],
    ['not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d, 0x0a])],
    ['a line that is too long', Buffer.from(`{"text":"${'z'.repeat(64)}"}\n`)],
    ['a line without an end that is too long', Buffer.from('z'.repeat(64))],
  ];
  test.each(refused)('%s', async (_name, bytes) => {
    const [left, right] = duplexPair();
    const port = jsonLinesPort<Note, Note>(left, { maximumLineBytes: 32 });
    port.onMessage(() => expect.unreachable('nothing may be delivered'));
    right.on('error', () => undefined);
    right.write(bytes);
    expect(await closeOf(port)).toMatchObject({ code: 'PROTOCOL_ERROR' });
    expect(left.destroyed).toBe(true);
  });

  test('a line of exactly the limit passes, in single bytes', async () => {
    const [left, right] = duplexPair();
    const line = `{"text":"${'z'.repeat(32 - 11)}"}`;
    expect(line.length).toBe(32);
    const port = jsonLinesPort<Note, Note>(left, { maximumLineBytes: 32 });
    const arrived = collect(port, 2);
    for (const byte of Buffer.from(`${line}\n${line}\n`)) right.write(Buffer.from([byte]));
    expect((await arrived)[1]?.text).toBe('z'.repeat(21));
  });

  test('an end in the middle of a message is told apart from an end', async () => {
    const [left, right] = duplexPair();
    const port = jsonLinesPort<Note, Note>(left);
    port.onMessage(() => undefined);
    right.end('{"text":');
    expect(await closeOf(port)).toMatchObject({ code: 'DISCONNECTED' });
  });

  test('a peer that does not read is given up, so that memory stays bounded', async () => {
    const stuck = new Duplex({ read: () => undefined, write: () => undefined });
    const port = jsonLinesPort<Note, Note>(stuck, { maximumUnsentBytes: 1000 });
    const closed = closeOf(port);
    for (let i = 0; i < 20; i++) port.send({ text: 'w'.repeat(100) });
    expect(await closed).toMatchObject({ code: 'PEER_TOO_SLOW' });
    expect(stuck.destroyed).toBe(true);
  });

  test('close gives up a peer that never takes what was sent', async () => {
    const stuck = new Duplex({ read: () => undefined, write: () => undefined });
    const port = jsonLinesPort<Note, Note>(stuck, { flushDeadlineMs: 20 });
    port.send({ text: 'unread' });
    port.close();
    await new Promise((resolve) => stuck.once('close', resolve));
    expect(await closeOf(port)).toBeNull();
  });
});

describe('web socket port: what it refuses', () => {
  test.each([
    ['binary', Buffer.from('{"text":"a"}')],
    ['not JSON', 'nope'],
    ['not an object', '7'],
  ])('%s', async (_name, data) => {
    const [dialled, accepted] = await webSockets();
    const port = webSocketPort<Note, Note>(accepted);
    port.onMessage(() => expect.unreachable('nothing may be delivered'));
    dialled.send(data);
    expect(await closeOf(port)).toMatchObject({ code: 'PROTOCOL_ERROR' });
  });

  test('a peer that does not read is given up', async () => {
    const [dialled, accepted] = await webSockets();
    dialled.pause();
    const port = webSocketPort<Note, Note>(accepted, { maximumUnsentBytes: 1 << 20 });
    const closed = closeOf(port);
    for (let i = 0; i < 40; i++) port.send({ text: 'w'.repeat(1 << 18) });
    expect(await closed).toMatchObject({ code: 'PEER_TOO_SLOW' });
  });
});

test('memory ports give up a peer that never listens', async () => {
  const [left] = memoryPorts<Note, Note>(1000);
  const closed = closeOf(left);
  for (let i = 0; i < 20; i++) left.send({ text: 'w'.repeat(100) });
  expect(await closed).toMatchObject({ code: 'PEER_TOO_SLOW' });
});
