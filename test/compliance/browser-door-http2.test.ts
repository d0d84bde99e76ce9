import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocketServer } from 'ws';
import { codeAt, codeSeconds, fromBase32 } from '../../core/credentials/password/one-time-code.ts';
import { PasswordAdmission } from '../../core/credentials/password/password-admission.ts';
import { enrolPerson } from '../../core/credentials/password/people.ts';
import { AdmissionDesk } from '../../core/overlay/admission/admission-desk.ts';
import { PasswordMethod } from '../../core/overlay/admission/password-method.ts';
import type { Door } from '../../core/overlay/door/door.ts';
import { systemClock } from '../../core/runtime/clock.ts';
import { runProgram } from '../../core/runtime/process.ts';
import { secureRandom } from '../../core/runtime/random.ts';
import { certifiedBrowserImpossible, chromiumDom, chromiumHome } from '../support/chromium-profile.ts';
import { createOverlayWorld, type OverlayWorld, serviceName } from '../support/overlay-world.ts';
import { createRealTrust, type RealTrust } from '../support/real-authority.ts';
import { temporaryDirectory } from '../unit/credentials/helpers.ts';

const big = randomBytes(3 << 20);
const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
/** Its load is over once the page shows what came by the WebSocket. */
const socketPage = `<!doctype html><body><p></p><img src="/until-shown"><script>
const [{ nextHopProtocol }] = performance.getEntriesByType('navigation');
const socket = new WebSocket('wss://' + location.host + '/socket');
socket.onopen = () => socket.send('a word');
const show = (text) => { document.querySelector('p').textContent = text; };
socket.onerror = () => show('refused');
socket.onmessage = ({ data }) => { show(nextHopProtocol + ' page, ' + data); socket.send('shown'); };
</script></body>`;

const directory = temporaryDirectory();
const people = ['Ada Example', 'Grace Example'] as const;
const codeSecrets = new Map<string, Buffer>();
let trust: RealTrust;
let world: OverlayWorld;
let door: Door;
let desk: AdmissionDesk;
const shown: (() => void)[] = [];
let slow = 0;
let busy = 0;
let busiest = 0;

beforeAll(async () => {
  trust = await createRealTrust(directory.path);
  world = await createOverlayWorld(
    (incoming, outgoing) => {
      if (incoming.url === '/big') outgoing.end(big);
      else if (incoming.url === '/echo') incoming.pipe(outgoing);
      else if (incoming.url === '/slow') {
        slow += 1;
        outgoing.write('begun');
      } else if (incoming.url === '/broken')
        outgoing.writeHead(200).write('half', () => outgoing.socket?.destroy());
      else if (incoming.url === '/cookies')
        outgoing.writeHead(200, { 'set-cookie': ['a=1', 'b=2'] }).end(incoming.headers.cookie);
      else if (incoming.url === '/until-shown') shown.push(() => outgoing.writeHead(204).end());
      else if (incoming.url === '/socket-page')
        outgoing.writeHead(200, { 'content-type': 'text/html' }).end(socketPage);
      else {
        busy += 1;
        busiest = Math.max(busiest, busy);
        setTimeout(() => {
          busy -= 1;
          outgoing.end(`hello from ${incoming.headers.host} ${incoming.url}`);
        }, 20);
      }
    },
    { trust, parkDeadlineMs: 3_000 },
  );
  const passwords = new PasswordAdmission({
    clock: systemClock,
    random: secureRandom,
    people: { version: 1, people: [] },
  });
  const enrolled = await Promise.all(
    people.map((name) =>
      enrolPerson(
        { name, password: 'a long enough word', services: [serviceName], issuer: 'MOVE' },
        secureRandom,
      ),
    ),
  );
  for (const { person, otpauth } of enrolled)
    codeSecrets.set(person.name, fromBase32(new URL(otpauth).searchParams.get('secret') ?? ''));
  passwords.replacePeople({ version: 1, people: enrolled.map(({ person }) => person) });
  const authority = await trust.constrain('node-0', [serviceName]);
  desk = new AdmissionDesk({
    methods: [new PasswordMethod({ passwords, isOpen: () => true })],
    authority: () => authority,
    lifetimeMs: () => 600_000,
    events: () => undefined,
    clock: systemClock,
    random: secureRandom,
  });
  const tls = await trust.issue({
    profile: 'door',
    name: 'node-0',
    addresses: ['127.0.0.1'],
    hostnames: [serviceName],
  });
  door = await world.nodes[0]!.openDoor({
    listen: { host: '127.0.0.1', port: 0 },
    tls: () => tls,
    services: () => [{ hostname: serviceName, port: 80 }],
    desk,
    trustPem: () => trust.administrator.certificatePem,
    accessPoints: () => [`127.0.0.1:${world.nodes[0]!.port}`],
    program: undefined,
    limits: { headersMs: 1_000 },
  });
  writeFileSync(join(directory.path, 'trust.pem'), trust.administrator.certificatePem);
}, 60_000);
afterAll(async () => {
  await world.close();
  trust.administrator.close();
  directory.remove();
});

const open = new Set<ClientHttp2Session>();
async function session(certified = true): Promise<ClientHttp2Session> {
  const identity = certified
    ? await trust.issue({ profile: 'client', name: 'Ada Example', services: [serviceName] })
    : undefined;
  const made = connect(`https://${serviceName}:${door.port}`, {
    host: '127.0.0.1',
    servername: serviceName,
    ca: trust.administrator.certificatePem,
    ...(identity ? { cert: identity.certificatePem, key: identity.keyPem } : {}),
  });
  made.on('error', () => undefined);
  open.add(made);
  await new Promise<void>((resolve, reject) => {
    made.once('remoteSettings', () => resolve());
    made.once('error', reject);
  });
  return made;
}

interface Answered {
  status: number;
  headers: Record<string, unknown>;
  body: Buffer;
  /** How the stream was closed (RFC 9113 §7). */
  closedWith: number;
}

async function answer(stream: ClientHttp2Stream): Promise<Answered> {
  const parts: Buffer[] = [];
  let headers: Record<string, unknown> = {};
  stream.on('response', (given) => {
    headers = given;
  });
  stream.on('data', (part: Buffer) => parts.push(part));
  stream.on('error', () => undefined);
  await new Promise<void>((resolve) => stream.once('close', resolve));
  return {
    status: Number(headers[':status']),
    headers,
    body: Buffer.concat(parts),
    closedWith: stream.rstCode ?? 0,
  };
}
const get = (at: ClientHttp2Session, path: string, more: Record<string, string> = {}) =>
  answer(at.request({ ':path': path, ...more }));

/** Comes in by password and returns the cookie. */
async function enter(at: ClientHttp2Session, name: string): Promise<string> {
  const code = codeAt(codeSecrets.get(name)!, Math.floor(Date.now() / 1000 / codeSeconds));
  const stream = at.request({
    ':method': 'POST',
    ':path': '/.move/password',
    'content-type': 'application/x-www-form-urlencoded',
  });
  stream.end(new URLSearchParams({ name, password: 'a long enough word', code }).toString());
  const { status, headers } = await answer(stream);
  expect(status).toBe(303);
  return String((headers['set-cookie'] as string[])[0]).split(';')[0]!;
}

describe('HTTP/2 at the door for browsers', () => {
  it('is spoken with who offers it, HTTP/1.1 with others, by the real curl', async () => {
    const ada = await trust.issue({ profile: 'client', name: 'Ada Example', services: [serviceName] });
    writeFileSync(join(directory.path, 'ada.pem'), ada.certificatePem);
    writeFileSync(join(directory.path, 'ada.key'), ada.keyPem, { mode: 0o600 });
    const curl = (args: readonly string[], path: string) =>
      runProgram(
        'curl',
        [
          ...['-sS', '-m', '10', '--cacert', join(directory.path, 'trust.pem')],
          ...['--cert', join(directory.path, 'ada.pem'), '--key', join(directory.path, 'ada.key')],
          ...['--resolve', `${serviceName}:${door.port}:127.0.0.1`, ...args],
          `https://${serviceName}:${door.port}${path}`,
        ],
        { timeoutMs: 15_000 },
      );
    for (const [option, version] of [
      ['--http2', '2'],
      ['--http1.1', '1.1'],
    ] as const) {
      const said = await curl([option, '-w', ' over %{http_version}'], '/page');
      expect(said.stdout).toBe(`hello from ${serviceName} /page over ${version}`);
      const file = join(directory.path, `big-${version}`);
      writeFileSync(file, big);
      const echoed = await curl([option, '--data-binary', `@${file}`, '-o', `${file}.back`], '/echo');
      expect(echoed.code).toBe(0);
      const sum = await runProgram('sha256sum', [`${file}.back`], { timeoutMs: 5_000 });
      expect(sum.stdout.slice(0, 64)).toBe(digest(big));
    }
    // What breaks off at the service does not end as if it were whole. 18: cut short; 92: the stream was.
    expect((await curl(['--http2'], '/broken')).code).toBe(92);
    expect((await curl(['--http1.1'], '/broken')).code).toBe(18);
  }, 40_000);

  it('carries many requests at once over one connection, by few sessions to the service', async () => {
    const ada = await session();
    expect(ada.remoteSettings).toMatchObject({ maxConcurrentStreams: 100, enableConnectProtocol: false });
    const opened = world.gateway.opened;
    const answers = await Promise.all(Array.from({ length: 90 }, (_, index) => get(ada, `/${index}`)));
    expect(answers.map(({ status, body }) => [status, String(body)])).toEqual(
      answers.map((_, index) => [200, `hello from ${serviceName} /${index}`]),
    );
    expect(busiest).toBeGreaterThan(4);
    expect(busiest).toBeLessThanOrEqual(16);
    expect(world.gateway.opened - opened).toBeLessThanOrEqual(16);
    const [whole, cookies] = await Promise.all([get(ada, '/big'), get(ada, '/cookies', { cookie: 'c=3' })]);
    expect(digest(whole.body)).toBe(digest(big));
    expect([cookies.headers['set-cookie'], String(cookies.body)]).toEqual([['a=1', 'b=2'], 'c=3']);
    ada.close();
  });

  it('parks what is asked while the service moves, and answers it after', async () => {
    const ada = await session();
    world.pause();
    const waiting = Promise.all([1, 2, 3].map((index) => get(ada, `/moved-${index}`)));
    await world.until('the requests wait', () =>
      world.nodes[0]!.status().sessions.some(({ state }) => state !== 'open'),
    );
    world.wake(1);
    expect((await waiting).map(({ status }) => status)).toEqual([200, 200, 200]);
    world.pause();
    const late = await get(ada, '/');
    expect([late.status, late.headers['x-move-error']]).toEqual([504, 'PARKED_TOO_LONG']);
    world.wake(0);
    expect((await get(ada, '/')).status).toBe(200);
    ada.close();
  });

  it('judges each request by itself, and ends only what is under way for who is not welcome any more', async () => {
    const shared = await session(false);
    const stranger = await get(shared, '/');
    expect([stranger.status, stranger.headers['x-move-error']]).toEqual([403, 'ADMISSION_REQUIRED']);
    const [ada, grace] = [await enter(shared, people[0]), await enter(shared, people[1])];
    const before = slow;
    const running = [ada, grace].map((cookie) => get(shared, '/slow', { cookie }));
    let adaHasEnded = false;
    const ended = running[0]!.finally(() => {
      adaHasEnded = true;
    });
    await world.until('both downloads run', () => slow === before + 2);
    expect(desk.retain(({ credential }) => credential.identity.name !== people[1])).toBe(1);
    expect(world.nodes[0]!.recheck()).toBe(1);
    expect((await running[1])!.closedWith).toBe(constants.NGHTTP2_INTERNAL_ERROR);
    const [still, over] = [
      await get(shared, '/', { cookie: ada }),
      await get(shared, '/', { cookie: grace }),
    ];
    expect([still.status, over.status, over.headers['x-move-error']]).toEqual([200, 403, 'ADMISSION_OVER']);
    expect(adaHasEnded).toBe(false);
    shared.destroy();
    await ended;
  });

  it('refuses a host that contradicts its authority, long heads, and many fields', async () => {
    const ada = await session();
    const contradicting = await get(ada, '/', { host: 'bank.example' });
    expect([contradicting.status, contradicting.headers['x-move-error']]).toEqual([421, 'HOST_UNKNOWN']);
    expect((await get(ada, '/', { 'x-long': 'x'.repeat(17_000) })).status).not.toBe(200);
    const many = Object.fromEntries(Array.from({ length: 110 }, (_, index) => [`x-${index}`, 'y']));
    expect((await get(ada, '/', many)).closedWith).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    expect((await get(ada, '/after')).status).toBe(200);
    ada.close();
  });

  it('ends a connection that takes its requests back by the hundred, and one on which nothing is asked', async () => {
    const [hasty, honest, silent] = [await session(), await session(), await session(false)];
    const silentEnds = new Promise<void>((resolve) => silent.once('close', () => resolve()));
    const opened = world.gateway.opened;
    let reset = 0;
    const gone = new Promise<void>((resolve) => hasty.once('close', () => resolve()));
    /** Until the far end has seen what was sent. */
    const seenThere = () =>
      new Promise<void>((resolve) => {
        if (hasty.destroyed) resolve();
        else hasty.ping(() => resolve());
      });
    while (!hasty.destroyed && !hasty.closed && reset < 5_000) {
      const streams = Array.from({ length: 50 }, () => hasty.request({ ':path': '/reset' }));
      for (const stream of streams) stream.on('error', () => undefined);
      await Promise.race([seenThere(), gone]);
      for (const stream of streams) stream.close(constants.NGHTTP2_CANCEL);
      reset += streams.length;
      await Promise.race([seenThere(), gone]);
    }
    expect(hasty.destroyed || hasty.closed).toBe(true);
    expect(reset).toBeLessThan(5_000);
    expect((await get(honest, '/')).status).toBe(200);
    expect(world.gateway.opened - opened).toBeLessThan(600);
    honest.close();
    await silentEnds;
  }, 20_000);

  it.skipIf(certifiedBrowserImpossible() !== null)(
    `is what Chromium speaks, whose WebSockets still come in${certifiedBrowserImpossible() ? ` (${certifiedBrowserImpossible()})` : ''}`,
    async () => {
      const sockets = new WebSocketServer({ server: world.web });
      sockets.on('connection', (socket) =>
        socket.on('message', (data) => {
          if (String(data) === 'shown') for (const end of shown.splice(0)) end();
          else socket.send(`heard ${data}`);
        }),
      );
      const ada = await trust.administrator.issueByHand({
        profile: 'client',
        name: 'Ada Example',
        services: [serviceName],
      });
      const file = (name: string, content: string | Buffer) => {
        const path = join(directory.path, name);
        writeFileSync(path, content, { mode: 0o600 });
        return path;
      };
      const origin = `https://${serviceName}:${door.port}`;
      const home = await chromiumHome({
        directory: join(directory.path, 'chromium'),
        trustFile: join(directory.path, 'trust.pem'),
        pkcs12File: file('ada.p12', ada.pkcs12),
        passwordFile: file('ada.password', ada.password),
        origin,
      });
      const rules = `--host-resolver-rules=MAP ${serviceName} 127.0.0.1`;
      const page = await chromiumDom(home, `${origin}/socket-page`, [rules]);
      expect(page.dom).toContain('h2 page, heard a word');
      sockets.close();
    },
    40_000,
  );
});
