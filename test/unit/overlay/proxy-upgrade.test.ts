import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import type { Forwarder } from '../../../core/overlay/forwarder/forwarder.ts';
import { createOverlayWorld, type OverlayWorld, serviceName } from '../../support/overlay-world.ts';

let world: OverlayWorld;
let forwarder: Forwarder;
let sockets: WebSocketServer;
let upgradeRequest: IncomingMessage | undefined;

beforeAll(async () => {
  world = await createOverlayWorld((request, response) => response.end(`plain ${request.url}`));
  sockets = new WebSocketServer({ noServer: true });
  world.web.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    upgradeRequest = request;
    if (request.url === '/no-socket')
      socket.end('HTTP/1.1 426 Upgrade Required\r\ncontent-length: 8\r\nx-why: old\r\n\r\nnot here');
    else if (request.url === '/hang-up') socket.destroy();
    else
      sockets.handleUpgrade(request, socket, head, (opened) => {
        opened.send('welcome');
        opened.on('message', (data, isBinary) => opened.send(data, { binary: isBinary }));
      });
  });
  forwarder = await world.forwarder({ services: [serviceName] });
}, 60_000);
afterAll(async () => {
  for (const socket of sockets.clients) socket.terminate();
  await world.close();
});

/** A WebSocket by the proxy's absolute form: the request line names the service, the connection goes to the proxy. */
function dial(path: string): WebSocket {
  const proxy = new URL(forwarder.ready.httpProxy ?? '');
  return new WebSocket(`ws://${proxy.host}${path}`, {
    headers: { Host: serviceName },
    finishRequest(request) {
      request.path = `http://${serviceName}${path}`;
      request.end();
    },
  });
}

async function ask(
  url: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: IncomingMessage['headers']; body: string }> {
  const proxy = new URL(forwarder.ready.httpProxy ?? '');
  const request = httpRequest({
    host: proxy.hostname,
    port: proxy.port,
    path: url,
    headers: {
      host: new URL(url).host,
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==',
      'sec-websocket-version': '13',
      ...headers,
    },
  });
  request.end();
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve);
    request.once('error', reject);
  });
  let body = '';
  for await (const part of answer as AsyncIterable<Buffer>) body += part;
  return { status: answer.statusCode ?? 0, headers: answer.headers, body };
}

describe('upgrades through the proxy’s absolute form', () => {
  it('open a WebSocket that carries both ways, over a move too', async () => {
    const socket = dial('/chat?room=1');
    const heard: string[] = [];
    socket.on('message', (data) => heard.push(String(data)));
    await new Promise<void>((resolve, reject) => {
      socket.once('open', () => resolve());
      socket.once('error', reject);
    });
    await world.until('it is greeted', () => heard.length === 1);
    expect(upgradeRequest?.url).toBe('/chat?room=1');
    expect(upgradeRequest?.headers.host).toBe(serviceName);
    const long = 'x'.repeat(200_000);
    socket.send('one');
    socket.send(long);
    await world.until('both come back', () => heard.length === 3);
    world.pause();
    socket.send('during the move');
    world.wake(1);
    await world.until('it comes back after the move', () => heard.length === 4);
    expect(heard).toEqual(['welcome', 'one', long, 'during the move']);
    const closed = new Promise<number>((resolve) => socket.once('close', resolve));
    socket.close(4000);
    expect(await closed).toBe(4000);
  });

  it('pass on the answer of a service that does not agree, and say what went wrong', async () => {
    const declined = await ask(`http://${serviceName}/no-socket`);
    expect(declined).toMatchObject({ status: 426, body: 'not here' });
    expect(declined.headers).toMatchObject({ 'x-why': 'old', connection: 'close' });
    const broken = await ask(`http://${serviceName}/hang-up`);
    expect([broken.status, broken.headers['x-move-error']]).toEqual([502, 'SERVICE_BROKE_OFF']);
    const foreign = await ask('http://bank.example/');
    expect([foreign.status, foreign.headers['x-move-error']]).toEqual([403, 'NOT_PROTECTED']);
    const withContent = await ask(`http://${serviceName}/`, { 'content-length': '3' });
    expect([withContent.status, withContent.headers['x-move-error']]).toEqual([400, 'REQUEST_INVALID']);
  });

  it('leave the proxy as it was for everybody else', async () => {
    const plain = await ask(`http://${serviceName}/page`, { connection: 'close', upgrade: '' });
    expect(plain).toMatchObject({ status: 200, body: 'plain /page' });
  });
});
