import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, get, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { DecoyServer, decoyBounds } from '../../../core/sites/decoy/decoy-server.ts';
import { Decoys } from '../../../core/sites/decoy/decoys.ts';
import { linksOf, type Picture, pictureBounds, takePicture } from '../../../core/sites/decoy/picture.ts';
import { until } from '../../system/world/conditions.ts';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const pages: Record<string, { type: string; body: string | Buffer }> = {
  '/': {
    type: 'text/html',
    body: '<link href="style.css"><img src="/logo.png?v=2"><a href="https://elsewhere.example/x">x</a><a href="/large">y</a>',
  },
  '/style.css': { type: 'text/css', body: 'body{}' },
  '/logo.png?v=2': { type: 'image/png', body: 'png' },
  '/large': { type: 'text/plain', body: Buffer.alloc(pictureBounds.pageBytes + 1) },
};

/** The service itself, as strangers may use it. */
async function origin(): Promise<{ port: number; asked: Record<string, unknown>[]; server: Server }> {
  const asked: Record<string, unknown>[] = [];
  const server = createServer((request, response) => {
    asked.push(request.headers);
    const page = pages[request.url ?? ''];
    response.setHeader('Server', 'Apache');
    response.setHeader('Set-Cookie', 'person=ada');
    response.writeHead(page ? 200 : 404, { 'Content-Type': page?.type ?? 'text/html' });
    response.end(page?.body ?? '<p>Not found</p>');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, asked, server };
}

function ask(
  port: number,
  url: string,
): Promise<{ status: number; headers: Record<string, unknown>; body: string }> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: url, agent: false }, (answer) => {
      let body = '';
      answer.setEncoding('utf8').on('data', (chunk) => {
        body += chunk;
      });
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body }));
    }).on('error', reject);
  });
}

const picture = (port: number) =>
  takePicture({ address: '127.0.0.1', port, service: 'shop.example' }, 7, AbortSignal.timeout(10_000));

async function serve(of: Picture): Promise<{ port: number; decoy: DecoyServer }> {
  const decoy = new DecoyServer(of);
  await new Promise<void>((resolve) => decoy.server.listen(0, '127.0.0.1', resolve));
  closing.push(() => decoy.close());
  return { port: (decoy.server.address() as AddressInfo).port, decoy };
}

describe('the picture of a service', () => {
  it('is what strangers are answered: the first page and what it refers to, without cookies', async () => {
    const { port, asked } = await origin();
    const taken = await picture(port);
    expect(Object.keys(taken.pages).sort()).toEqual(['/', '/logo.png?v=2', '/style.css']);
    expect(taken).toMatchObject({ service: 'shop.example', takenAt: 7, notFound: { status: 404 } });
    expect(JSON.stringify(taken)).not.toContain('ada');
    for (const headers of asked) expect(headers).toMatchObject({ host: 'shop.example' });
    expect(asked.some((headers) => 'cookie' in headers || 'authorization' in headers)).toBe(false);
  });

  it('is none of a service that does not answer', async () => {
    const { port, server } = await origin();
    server.close();
    await expect(picture(port)).rejects.toMatchObject({ code: 'PICTURE_FAILED' });
  });

  it('follows no link to another host, nor anything but HTML', () => {
    const page = (type: string, body: string) => ({
      status: 200,
      headers: [['Content-Type', type]] as [string, string][],
      bodyBase64: Buffer.from(body).toString('base64'),
    });
    const html = '<a href="//x.example/">a</a><a href="/b#c">b</a><img src=\'data:image/png;x\'>';
    expect(linksOf(page('text/html; charset=utf-8', html), 'shop.example')).toEqual(['/b']);
    expect(linksOf(page('text/plain', html), 'shop.example')).toEqual([]);
  });
});

describe('a decoy', () => {
  it('answers as the service answered strangers, and what is not known as the service said not found', async () => {
    const { port } = await origin();
    const { port: decoyPort, decoy } = await serve(await picture(port));
    const [before, after] = [await ask(port, '/'), await ask(decoyPort, '/')];
    expect(after).toMatchObject({ status: 200, body: before.body });
    expect(after.headers).toMatchObject({ server: 'Apache', 'content-type': 'text/html' });
    expect(after.headers['set-cookie']).toBeUndefined();
    expect(await ask(decoyPort, '/no-such')).toMatchObject({ status: 404, body: '<p>Not found</p>' });
    expect(decoy.figures).toMatchObject({ requests: 2, turnedAway: 0 });
  });

  it('takes no more connections than its bound, and sends no faster', async () => {
    const body = Buffer.alloc(40 << 10, 'x').toString('base64');
    const page = { status: 200, headers: [] as [string, string][], bodyBase64: body };
    const { port, decoy } = await serve({ service: 's', takenAt: 0, pages: { '/': page }, notFound: page });
    const begun = performance.now();
    await Promise.all([ask(port, '/'), ask(port, '/'), ask(port, '/')]);
    // Three times 40 KiB at 64 KiB a second.
    expect(performance.now() - begun).toBeGreaterThan(1_800);
    const sockets: Socket[] = [];
    for (let index = 0; index < decoyBounds.connections + 20; index += 1) {
      const socket = connect({ host: '127.0.0.1', port }).on('error', () => undefined);
      sockets.push(socket);
    }
    closing.push(() => {
      for (const socket of sockets) socket.destroy();
    });
    await until('the bound is reached', () => decoy.figures.connections >= decoyBounds.connections, 5_000);
    await until('the others are closed', () => sockets.filter((one) => one.destroyed).length >= 20, 5_000);
    expect(decoy.figures.connections).toBe(decoyBounds.connections);
  });
});

describe('the decoys of a site', () => {
  const program = path.resolve(import.meta.dirname, 'decoy-program.ts');
  async function site(port: number) {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'move-decoys-'));
    const log: string[] = [];
    const decoys = new Decoys({
      directory,
      address: '127.0.0.1',
      program,
      now: () => 42,
      log: (line) => void log.push(line),
    });
    closing.push(async () => {
      await decoys.stop();
      rmSync(directory, { recursive: true, force: true });
    });
    decoys.watch('shop.example', port);
    await until('the picture is taken', () => readdirSync(directory).includes('shop.example.json'), 10_000);
    return { decoys, log };
  }

  it('begin in a process of their own on the very port, once the service has left it, and end with it', async () => {
    const { port, server } = await origin();
    const { decoys } = await site(port);
    await expect(decoys.begin('other.example', port)).rejects.toMatchObject({ code: 'DECOY_NO_PICTURE' });
    await expect(decoys.begin('shop.example', port)).rejects.toMatchObject({ code: 'DECOY_FAILED' });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await decoys.begin('shop.example', port);
    expect(await ask(port, '/style.css')).toMatchObject({ status: 200, body: 'body{}' });
    await until('it tells its figures', () => (decoys.status()[0]?.requests ?? 0) > 0, 10_000);
    expect(decoys.status()).toMatchObject([{ service: 'shop.example', port, since: 42, takenAt: 42 }]);
    await decoys.end('shop.example');
    expect(decoys.status()).toEqual([]);
    await until(
      'nobody listens any more',
      () =>
        ask(port, '/').then(
          () => false,
          () => true,
        ),
      10_000,
    );
  });
});
