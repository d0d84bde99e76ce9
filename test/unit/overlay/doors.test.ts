import { once } from 'node:events';
import { get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ForwarderReady } from '../../../core/overlay/forwarder/forwarder.ts';
import { proxyAutoConfig } from '../../../core/overlay/forwarder/proxy-auto-config.ts';
import { runProgram } from '../../../core/runtime/process.ts';
import { createOverlayWorld, type OverlayWorld, serviceName } from '../../support/overlay-world.ts';

let world: OverlayWorld;
let ready: ForwarderReady;
beforeEach(async () => {
  world = await createOverlayWorld((incoming, outgoing) => {
    outgoing.end(`hello from ${incoming.headers.host} ${incoming.url}`);
  });
  ({ ready } = await world.forwarder({}));
});
afterEach(() => world.close());

/** A connection to the SOCKS proxy that is spoken to byte by byte. */
async function dial(): Promise<{ socket: Socket; answer(bytes: number): Promise<number[]> }> {
  const { hostname, port } = new URL(ready.socksProxy!);
  const socket = connect({ host: hostname, port: Number(port) });
  await once(socket, 'connect');
  let held = Buffer.alloc(0);
  let ended = false;
  socket.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
  });
  for (const end of ['end', 'close', 'error']) socket.on(end, () => (ended = true));
  return {
    socket,
    async answer(bytes) {
      await world.until(`${bytes} bytes or an end`, () => held.length >= bytes || ended);
      const part = held.subarray(0, bytes);
      held = held.subarray(bytes);
      return [...part];
    },
  };
}

const named = (name: string, port: number, command = 1) => {
  const head = Buffer.from([5, command, 0, 3, name.length]);
  const tail = Buffer.alloc(2);
  tail.writeUInt16BE(port);
  return Buffer.concat([head, Buffer.from(name, 'latin1'), tail]);
};
const refusal = (reply: number) => [5, reply, 0, 1, 0, 0, 0, 0, 0, 0];

describe('the SOCKS proxy of a forwarder', () => {
  it('carries curl to a service by its name', async () => {
    const curl = await runProgram(
      'curl',
      [
        '--silent',
        '--show-error',
        '--max-time',
        '8',
        '--proxy',
        ready.socksProxy!,
        `http://${serviceName}/a`,
      ],
      { timeoutMs: 10_000 },
    );
    expect(curl).toMatchObject({ code: 0, stdout: `hello from ${serviceName} /a` });
  });

  it('takes what a hasty client says all at once, and in single bytes', async () => {
    const spoken = Buffer.concat([
      Buffer.from([5, 2, 2, 0]),
      named(serviceName.toUpperCase(), 80),
      Buffer.from(`GET /b HTTP/1.1\r\nHost: ${serviceName}\r\nConnection: close\r\n\r\n`),
    ]);
    for (const cut of [spoken.length, 1]) {
      const { socket, answer } = await dial();
      for (let at = 0; at < spoken.length; at += cut) socket.write(spoken.subarray(at, at + cut));
      expect(await answer(12)).toEqual([5, 0, ...refusal(0)]);
      expect(Buffer.from(await answer(15)).toString()).toBe('HTTP/1.1 200 OK');
      socket.destroy();
    }
  });

  it.each<[string, Buffer, number]>([
    ['another host', named('elsewhere.example', 80), 2],
    ['a command that is not CONNECT', named(serviceName, 80, 3), 7],
    ['an address instead of a name', Buffer.from([5, 1, 0, 1, 192, 0, 2, 1, 0, 80]), 8],
    ['an IPv6 address', Buffer.from([5, 1, 0, 4, ...Array.from({ length: 16 }, () => 1), 0, 80]), 8],
  ])('refuses %s by the standard’s reply', async (_what, request, reply) => {
    const { socket, answer } = await dial();
    socket.write(Buffer.from([5, 1, 0]));
    expect(await answer(2)).toEqual([5, 0]);
    socket.write(request);
    expect(await answer(10)).toEqual(refusal(reply));
    expect(world.directory.lookups).toBe(0);
    socket.destroy();
  });

  it('tells a client that only knows passwords, and hangs up on other protocols', async () => {
    const withPassword = await dial();
    withPassword.socket.write(Buffer.from([5, 1, 2]));
    expect(await withPassword.answer(3)).toEqual([5, 0xff]);
    const web = await dial();
    web.socket.write('GET / HTTP/1.1\r\n\r\n');
    expect(await web.answer(1)).toEqual([]);
    const old = await dial();
    old.socket.write(Buffer.from([4, 1, 0, 80, 192, 0, 2, 1, 0]));
    expect(await old.answer(1)).toEqual([]);
    expect(world.forwarderEvents.map((event) => event.type === 'refused' && event.code)).toContain(
      'SOCKS_PROTOCOL',
    );
  });

  it('ends with its forwarder, also in the middle of a handshake', async () => {
    const { socket } = await dial();
    const closed = new Promise<void>((resolve) => {
      socket.once('close', () => resolve());
    });
    socket.write(Buffer.from([5]));
    await world.close();
    await closed;
  });
});

/** What a browser makes of the file. */
const decide = (file: string, host: string) =>
  runInNewContext(`${file}; FindProxyForURL('http://${host}/', '${host}')`);

describe('the auto-config file of a forwarder', () => {
  it('sends the services of the certificate through the proxy, and nothing else', async () => {
    const [answer] = await once(get(ready.proxyAutoConfig!), 'response');
    expect(answer.headers['content-type']).toBe('application/x-ns-proxy-autoconfig');
    let file = '';
    for await (const part of answer) file += part;
    const { host } = new URL(ready.httpProxy!);
    expect(decide(file, serviceName)).toBe(`PROXY ${host}`);
    expect(decide(file, `${serviceName.toUpperCase()}.`)).toBe(`PROXY ${host}`);
    expect(decide(file, 'elsewhere.example')).toBe('DIRECT');
    expect(decide(file, `not-${serviceName}`)).toBe('DIRECT');
  });

  it('is for nobody whose name merely points here', async () => {
    const { hostname, port } = new URL(ready.httpProxy!);
    const [answer] = await once(
      get({ host: hostname, port, path: '/proxy.pac', headers: { host: 'evil.example' } }),
      'response',
    );
    answer.resume();
    expect(answer.statusCode).toBe(403);
  });

  it('asks whoever may use any service which ones are meant', () => {
    const proxy = { host: '::1', port: 8080 };
    const host = '[::1]:8080';
    expect(() => proxyAutoConfig({ url: '/proxy.pac', host }, proxy, 'any')).toThrow(
      expect.objectContaining({ code: 'REQUEST_INVALID' }),
    );
    const file = proxyAutoConfig(
      { url: '/proxy.pac?service=A.example&service=b.example', host: 'localhost:8080' },
      proxy,
      'any',
    );
    expect(decide(file, 'a.example')).toBe('PROXY [::1]:8080');
    expect(decide(file, 'c.example')).toBe('DIRECT');
    expect(() =>
      proxyAutoConfig(
        { url: `/proxy.pac?service=${encodeURIComponent('"]; evil(); ["')}`, host },
        proxy,
        'any',
      ),
    ).toThrow(expect.objectContaining({ code: 'REQUEST_INVALID' }));
  });
});
