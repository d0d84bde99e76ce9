import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import {
  type ClientMessage,
  createClient,
  type ServerMessage,
  serveContract,
} from '../../../core/contract/channel.ts';
import { type Contract, contract } from '../../../core/contract/contract.ts';
import { type BrowserHost, startBrowserHost } from '../../../core/control/browser-host/browser-host.ts';
import { sessionLifetimeMs, ticketLifetimeMs } from '../../../core/control/browser-host/session-book.ts';
import { describeFault } from '../../../core/control/local-door.ts';
import type { Clock } from '../../../core/runtime/clock.ts';
import { webSocketPort } from '../../../core/runtime/message-ports/web-socket-port.ts';
import { smallControl } from './small-control.ts';

let top: string;
let host: BrowserHost;
let nowMs: number;
let control = smallControl();
const log: string[] = [];
const clock: Clock = { now: () => nowMs, monotonic: () => nowMs, after: () => () => undefined };

beforeEach(async () => {
  nowMs = 1000;
  top = fs.mkdtempSync(path.join(os.tmpdir(), 'browser-host-'));
  const directory = path.join(top, 'renderer');
  fs.mkdirSync(path.join(directory, 'assets'), { recursive: true });
  fs.writeFileSync(path.join(directory, 'index.html'), '<!doctype html><title>console</title>');
  fs.writeFileSync(path.join(directory, 'assets', 'main-1.js'), 'export {};');
  fs.writeFileSync(path.join(directory, '.secret.html'), 'secret');
  fs.writeFileSync(path.join(directory, 'notes.txt'), 'secret');
  fs.writeFileSync(path.join(top, 'outside.html'), 'secret');
  fs.symlinkSync(path.join(top, 'outside.html'), path.join(directory, 'link.html'));
  control = smallControl({ 'emergency.release': () => ({}) });
  host = await startBrowserHost({
    directory,
    clock,
    log: (line) => log.push(line),
    accept: (port) =>
      serveContract(
        contract,
        control.handlers,
        { kind: 'window' },
        port,
        describeFault(() => undefined),
      ),
  });
});
afterEach(async () => {
  await host.close();
  fs.rmSync(top, { recursive: true });
});

interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: string;
}
/** One request whose path goes out exactly as written. */
function ask(
  requestPath: string,
  options: { method?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  const url = new URL(host.origin);
  return new Promise((resolve, reject) => {
    const request = http.request(
      {
        host: url.hostname,
        port: url.port,
        path: requestPath,
        method: options.method ?? 'GET',
        headers: options.headers ?? {},
        agent: false,
      },
      (response) => {
        let body = '';
        response.on('data', (chunk) => {
          body += chunk;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body }),
        );
      },
    );
    request.on('error', reject);
    request.end();
  });
}
const relative = (address: string) => address.slice(host.origin.length);
async function enter(): Promise<string> {
  const answer = await ask(relative(host.issueAddress()));
  expect(answer.status).toBe(303);
  return String(answer.headers['set-cookie']?.[0]).split(';')[0] ?? '';
}

describe('entering', () => {
  test('a one-time address becomes a session that cannot be read by scripts or sent by other sites', async () => {
    const answer = await ask(relative(host.issueAddress()));
    expect(answer.headers.location).toBe('/');
    expect(answer.headers['cache-control']).toBe('no-store');
    const cookie = String(answer.headers['set-cookie']?.[0]);
    expect(cookie).toMatch(/; HttpOnly; SameSite=Strict; Path=\/$/);
    expect(cookie).not.toContain('Domain');
    const page = await ask('/', { headers: { cookie: cookie.split(';')[0] ?? '' } });
    expect(page.status).toBe(200);
    expect(page.body).toContain('console');
  });

  test('an address works once', async () => {
    const address = relative(host.issueAddress());
    expect((await ask(address)).status).toBe(303);
    const again = await ask(address);
    expect(again.status).toBe(403);
    expect(again.headers['set-cookie']).toBeUndefined();
  });

  test('an address expires after a minute', async () => {
    const address = relative(host.issueAddress());
    nowMs += ticketLifetimeMs;
    expect((await ask(address)).status).toBe(403);
  });

  test('HEAD does not use an address up', async () => {
    const address = relative(host.issueAddress());
    expect((await ask(address, { method: 'HEAD' })).status).toBe(403);
    expect((await ask(address)).status).toBe(303);
  });

  test.each(['/enter', '/enter?ticket=', '/enter?ticket=guess', '/enter?other=1'])(
    'refuses %s',
    async (p) => {
      expect((await ask(p)).status).toBe(403);
    },
  );

  test('old tickets lapse when many are out, and old sessions when many live', async () => {
    const first = relative(host.issueAddress());
    for (let i = 0; i < 16; i++) host.issueAddress();
    expect((await ask(first)).status).toBe(403);
    const cookie = await enter();
    for (let i = 0; i < 32; i++) await enter();
    expect((await ask('/', { headers: { cookie } })).status).toBe(401);
  });

  test('a session ends a day after its last use', async () => {
    const cookie = await enter();
    nowMs += sessionLifetimeMs - 1;
    expect((await ask('/', { headers: { cookie } })).status).toBe(200);
    nowMs += sessionLifetimeMs - 1;
    expect((await ask('/', { headers: { cookie } })).status).toBe(200);
    nowMs += sessionLifetimeMs;
    expect((await ask('/', { headers: { cookie } })).status).toBe(401);
  });
});

describe('pages', () => {
  test.each(['/', '/assets/main-1.js'])('%s needs a session', async (p) => {
    expect((await ask(p)).status).toBe(401);
    const port = new URL(host.origin).port;
    expect((await ask(p, { headers: { cookie: `move-console-${port}=guess` } })).status).toBe(401);
    const cookie = await enter();
    expect((await ask(p, { headers: { cookie: `${cookie}; ${cookie}` } })).status).toBe(401);
    expect((await ask(p, { headers: { cookie: `a=b; ${cookie}` } })).status).toBe(200);
  });

  test('every answer, refusals too, carries the security headers', async () => {
    const cookie = await enter();
    const answers = [
      await ask('/', { headers: { cookie } }),
      await ask('/assets/main-1.js', { headers: { cookie } }),
      await ask('/'),
      await ask('/enter'),
      await ask(relative(host.issueAddress())),
      await ask('/nothing.html', { headers: { cookie } }),
      await ask('/', { method: 'POST', headers: { cookie } }),
    ];
    for (const { headers } of answers) {
      expect(headers['content-security-policy']).toContain(
        "default-src 'none'; script-src 'self'; style-src 'self';",
      );
      expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
      expect(headers['content-security-policy']).not.toContain('unsafe');
      expect(headers['x-content-type-options']).toBe('nosniff');
      expect(headers['referrer-policy']).toBe('no-referrer');
      expect(headers['access-control-allow-origin']).toBeUndefined();
    }
    expect(answers[0]?.headers['cache-control']).toBe('no-store');
    expect(answers[0]?.headers['content-type']).toBe('text/html; charset=utf-8');
    expect(answers[1]?.headers['cache-control']).toContain('immutable');
  });

  test.each(['localhost', 'rebound.example', '127.0.0.1', '127.0.0.1:1', '127.0.0.1:80@evil.example'])(
    'refuses the host name %s',
    async (name) => {
      const cookie = await enter();
      const named = name === 'localhost' ? `localhost:${new URL(host.origin).port}` : name;
      expect((await ask('/', { headers: { cookie, host: named } })).status).toBe(421);
      expect((await ask(relative(host.issueAddress()), { headers: { host: named } })).status).toBe(421);
    },
  );

  test.each(['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'])('refuses %s', async (method) => {
    const cookie = await enter();
    const answer = await ask('/', { method, headers: { cookie } });
    expect(answer.status).toBe(405);
    expect(answer.headers.allow).toBe('GET, HEAD');
  });

  test.each([
    '/../outside.html',
    '/%2e%2e/outside.html',
    '/..%2foutside.html',
    '/assets/../../outside.html',
    '/assets/..%2f..%2foutside.html',
    '/..\\outside.html',
    '/..%5coutside.html',
    '/link.html',
    '/.secret.html',
    '/assets',
    '/assets/',
    '/notes.txt',
    '/index.html%00.js',
    '/%ff%fe.html',
    '/%zz.html',
    '//etc/hostname.html',
    '/index.html/x.js',
    `/${'a'.repeat(5000)}.js`,
  ])('does not lead out or list: %s', async (p) => {
    const cookie = await enter();
    const answer = await ask(p, { headers: { cookie } });
    expect(answer.status).toBe(404);
    expect(answer.body).not.toContain('secret');
  });

  test('HEAD has no body', async () => {
    const answer = await ask('/', { method: 'HEAD', headers: { cookie: await enter() } });
    expect([answer.status, answer.body]).toEqual([200, '']);
    expect(Number(answer.headers['content-length'])).toBeGreaterThan(10);
  });

  test('is on loopback alone', () => {
    expect(new URL(host.origin).hostname).toBe('127.0.0.1');
  });
});

describe('the channel', () => {
  const channelUrl = (p = '/channel') => `${host.origin.replace('http', 'ws')}${p}`;
  function dial(options: {
    cookie?: string;
    origin?: string;
    host?: string;
    path?: string;
    protocols?: string[];
  }): Promise<WebSocket | number> {
    const socket = new WebSocket(channelUrl(options.path), options.protocols ?? ['move-console.v1'], {
      headers: {
        ...(options.cookie ? { cookie: options.cookie } : {}),
        ...(options.host ? { host: options.host } : {}),
        origin: options.origin ?? host.origin,
      },
    });
    return new Promise((resolve, reject) => {
      socket.on('open', () => resolve(socket));
      socket.on('unexpected-response', (_request, response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      socket.on('error', reject);
    });
  }

  test('carries the contract for the page that entered, as a window', async () => {
    const socket = await dial({ cookie: await enter() });
    if (typeof socket === 'number') throw new Error(`refused with ${socket}`);
    expect(socket.protocol).toBe('move-console.v1');
    const client = createClient<Contract>(webSocketPort<ClientMessage, ServerMessage>(socket));
    expect(await client.call('emergency.release', {})).toEqual({});
    await expect(client.call('doctor', {})).rejects.toMatchObject({ code: 'NOT_HERE' });
    expect(control.calls[0]?.caller).toBe('window');
    client.close();
    await client.closed;
  });

  test('refuses without a session, from another origin, under another host, elsewhere, in another protocol', async () => {
    const cookie = await enter();
    expect(await dial({})).toBe(401);
    expect(await dial({ cookie: `${cookie.split('=')[0]}=guess` })).toBe(401);
    expect(await dial({ cookie, origin: 'https://evil.example' })).toBe(403);
    expect(await dial({ cookie, origin: 'null' })).toBe(403);
    expect(await dial({ cookie, origin: host.origin.replace('127.0.0.1', 'localhost') })).toBe(403);
    expect(await dial({ cookie, host: 'rebound.example' })).toBe(421);
    expect(await dial({ cookie, path: '/other' })).toBe(404);
    expect(await dial({ cookie, path: '/channel?x' })).toBe(404);
    expect(await dial({ cookie, protocols: ['other.v1'] })).toBe(400);
    expect(log.join('\n')).toContain("takes only the console's own page");
  });

  test('refuses a connection without an Origin header', async () => {
    const cookie = await enter();
    const url = new URL(host.origin);
    const raw = net.connect(Number(url.port), '127.0.0.1');
    raw.write(
      `GET /channel HTTP/1.1\r\nHost: ${url.host}\r\nCookie: ${cookie}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: move-console.v1\r\n\r\n`,
    );
    const first = await new Promise<string>((resolve) => raw.once('data', (data) => resolve(String(data))));
    expect(first).toMatch(/^HTTP\/1\.1 403 /);
    raw.destroy();
  });

  test('bounds windows and their messages', async () => {
    const cookie = await enter();
    const open: WebSocket[] = [];
    for (let i = 0; i < 8; i++) {
      const socket = await dial({ cookie });
      if (typeof socket !== 'number') open.push(socket);
    }
    expect(open.length).toBe(8);
    expect(await dial({ cookie })).toBe(503);
    const [first] = open;
    const closed = new Promise<number>((resolve) => first?.on('close', resolve));
    first?.send(JSON.stringify({ id: 1, call: 'x'.repeat(1 << 20), input: {} }));
    expect(await closed).toBe(1009);
    await expect.poll(async () => typeof (await dial({ cookie }))).toBe('object');
  });
});

test('a taken port and a missing window are refused with what to do', async () => {
  const port = Number(new URL(host.origin).port);
  const options = { log: () => undefined, accept: () => undefined };
  await expect(
    startBrowserHost({ ...options, directory: path.join(top, 'renderer'), port }),
  ).rejects.toMatchObject({ code: 'PORT_TAKEN' });
  await expect(startBrowserHost({ ...options, directory: top })).rejects.toMatchObject({
    code: 'RENDERER_MISSING',
  });
});
