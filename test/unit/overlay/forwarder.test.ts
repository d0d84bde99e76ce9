import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { get, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type NodeList, nodeListSchema } from '../../../core/contract/node-list.ts';
import { type Authority, createAuthority } from '../../../core/credentials/authority.ts';
import { CLOCK_SKEW_MS } from '../../../core/credentials/certificate-draft.ts';
import type { Forwarder } from '../../../core/overlay/forwarder/forwarder.ts';
import { nodeListPurpose } from '../../../core/overlay/node-list.ts';
import { DurableFile } from '../../../core/runtime/durable-file.ts';
import { MoveError } from '../../../core/runtime/errors.ts';
import { runProgram } from '../../../core/runtime/process.ts';
import { createOverlayWorld, type OverlayWorld, serviceName } from '../../support/overlay-world.ts';
import { type SilentRelay, silentRelay } from '../../support/silent-relay.ts';
import { PASSPHRASE, temporaryDirectory } from '../credentials/helpers.ts';

let world: OverlayWorld;
let relay: SilentRelay | undefined;
let doorPort = 0;
let answer: (request: IncomingMessage, response: ServerResponse) => void;
const folder = temporaryDirectory();
afterAll(() => folder.remove());
const closing: (() => unknown)[] = [];

beforeEach(async () => {
  answer = (request, response) => response.end(`${request.method} ${request.url}`);
  world = await createOverlayWorld((request, response) => answer(request, response), {
    alsoPort: () => doorPort,
  });
});
afterEach(async () => {
  await world.close();
  await relay?.close();
  relay = undefined;
  for (const close of closing.splice(0)) await close();
});

/** A real program asks through the forwarder. */
async function curl(proxy: string, path: string, more: string[] = [], port = 80) {
  const begun = performance.now();
  const { stdout, code } = await runProgram(
    'curl',
    ['-sS', '-m', '8', '-w', ' %{http_code}', '-x', proxy, ...more, `http://${serviceName}:${port}${path}`],
    { timeoutMs: 10_000 },
  );
  return { said: stdout, code, tookMs: performance.now() - begun };
}

/** A request whose answer is watched while it arrives. */
function begin(proxy: string, path: string): { arrived(): string } {
  const { hostname, port } = new URL(proxy);
  let arrived = '';
  get({ host: hostname, port, path: `http://${serviceName}${path}`, agent: false }, (response) => {
    response.on('data', (chunk: Buffer) => {
      arrived += chunk.toString();
    });
  }).on('error', () => undefined);
  return { arrived: () => arrived };
}

const standsBy = (forwarder: Forwarder) =>
  world.until('a standby', () => forwarder.status().standby !== null);

describe('a forwarder whose access point dies', () => {
  it('uses its standby at once when the link breaks, and finds another standby', async () => {
    const forwarder = await world.forwarder({ accessPoints: [0, 1, 2] });
    await standsBy(forwarder);
    const proxy = forwarder.ready.httpProxy!;
    expect((await curl(proxy, '/1')).said).toBe('GET /1 200');
    await world.nodes[0]!.close();
    const { said, tookMs } = await curl(proxy, '/2');
    expect(said).toBe('GET /2 200');
    expect(tookMs).toBeLessThan(2_000);
    await standsBy(forwarder);
    const { accessPoint, standby } = forwarder.status();
    expect([accessPoint?.name, standby?.name].sort()).toEqual(['node-1', 'node-2']);
  });

  it.each(['httpProxy', 'socksProxy'] as const)(
    'asks elsewhere within a second when it falls silent (%s)',
    async (door) => {
      relay = await silentRelay(world.nodes[0]!.port);
      const forwarder = await world.forwarder({ accessPoints: [relay.address, 1] });
      await standsBy(forwarder);
      const proxy = forwarder.ready[door]!;
      expect((await curl(proxy, '/before')).said).toBe('GET /before 200');
      relay.silence();
      const { said, tookMs } = await curl(proxy, '/after');
      expect(said).toBe('GET /after 200');
      expect(tookMs).toBeLessThan(2_000);
      expect(forwarder.accessPoint()?.name).toBe('node-1');
    },
  );

  it('ends honestly what cannot be asked again, and leaves alone what is open while a silence may end', async () => {
    relay = await silentRelay(world.nodes[0]!.port);
    const forwarder = await world.forwarder({ accessPoints: [relay.address, 1] });
    await standsBy(forwarder);
    let asked = 0;
    let finish: () => void = () => undefined;
    answer = (request, response) => {
      asked += 1;
      request.resume();
      if (request.method === 'POST') return;
      response.write('begun ');
      finish = () => response.end('and ended');
    };
    const proxy = forwarder.ready.httpProxy!;
    const posted = curl(proxy, '/order', ['--data', 'one book', '-o', '/dev/null']);
    const slow = begin(proxy, '/slow');
    await world.until('both are asked', () => asked === 2);
    await world.until('an answer has begun', () => slow.arrived() === 'begun ');
    relay.silence();
    answer = (request, response) => response.end(request.url);
    expect((await curl(proxy, '/new')).said).toBe('/new 200');
    relay.speak();
    finish();
    await world.until('it is complete', () => slow.arrived() === 'begun and ended');
    // Nobody knows whether the order arrived: it is not sent a second time.
    expect((await posted).said).toBe(' 502');
    expect(asked).toBe(2);
  });

  it('stays where its certificate is bound to', async () => {
    const identity = await world.authority.issue({
      role: 'client',
      name: 'bound',
      services: [serviceName],
      boundAccessPoint: 'node-1',
    });
    const forwarder = await world.forwarder({ accessPoints: [0, 1, 2], identity });
    expect(forwarder.accessPoint()?.name).toBe('node-1');
    await world.nodes[1]!.close();
    await world.until('it is lost', () => forwarder.accessPoint() === undefined);
    expect(forwarder.status()).toMatchObject({ standby: null });
    expect(forwarder.status().line).toContain('no access point answers');
  });
});

/** A list that the world's authority never signed is made by one that did, which clients then trust as well. */
async function signedList(
  version: number,
  names: number[],
): Promise<{ authority: Authority; list: NodeList }> {
  const directory = temporaryDirectory();
  const authority = await createAuthority({ directory: directory.path, passphrase: PASSPHRASE });
  closing.push(() => {
    authority.close();
    directory.remove();
  });
  const statement = {
    version,
    issuedAt: Math.floor(Date.now()),
    expiresAt: Math.floor(Date.now()) + 60_000,
    nodes: names.map((index) => ({
      name: `node-${index}`,
      address: `127.0.0.1:${world.nodes[index]!.port}`,
      identifier: 'a'.repeat(40),
    })),
  };
  return {
    authority,
    list: { ...statement, signature: await authority.signStatement(nodeListPurpose, statement) },
  };
}

describe('the signed list of access points', () => {
  it('brings a standby that nobody named, is kept for the next start, and a forged one is not taken', async () => {
    const { authority, list } = await signedList(3, [0, 2]);
    const issued = await world.authority.issue({ role: 'client', name: 'ada', services: [serviceName] });
    const identity = { ...issued, trustPem: [...issued.trustPem, authority.certificatePem] };
    const file = join(folder.path, 'nodes.json');
    const nodeListFile = new DurableFile(file, nodeListSchema.nullable());
    world.nodeList = list;
    const forwarder = await world.forwarder({ accessPoints: [0], identity, settings: { nodeListFile } });
    await standsBy(forwarder);
    expect(forwarder.status()).toMatchObject({
      standby: { name: 'node-2' },
      nodeList: { version: 3, nodes: 2 },
    });
    await world.until('it is kept', () => statSync(file, { throwIfNoEntry: false }) !== undefined);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(JSON.parse(readFileSync(file, 'utf8')).version).toBe(3);
    await forwarder.close();

    // Of what was named nothing is left; what was kept leads in. The list that is offered now is forged.
    world.nodeList = { ...list, version: 9 };
    await world.nodes[0]!.close();
    const gone = `127.0.0.1:${world.nodes[0]!.port}`;
    const next = await world.forwarder({ accessPoints: [gone], identity, settings: { nodeListFile } });
    expect(next.accessPoint()?.name).toBe('node-2');
    await world.until('the forged one is refused', () =>
      world.forwarderEvents.some((event) => event.type === 'list-refused'),
    );
    expect(next.status().nodeList?.version).toBe(3);
  });
});

describe('an access point that was revoked', () => {
  it('is left as soon as the list says so, refused from then on and after a restart, and no older list brings it back', async () => {
    const { pool, router } = world.nodes[1]!;
    const serial = pool.links.find((link) => router.identityOf(link).name === 'node-0')!.peerCertificate
      .serialNumber;
    const { authority, list: before } = await signedList(3, [0]);
    const { signature: _, ...statement } = before;
    const revoking = { ...statement, version: 4, revoked: [serial.toUpperCase()] };
    const list = { ...revoking, signature: await authority.signStatement(nodeListPurpose, revoking) };
    const issued = await world.authority.issue({ role: 'client', name: 'ada', services: [serviceName] });
    const identity = { ...issued, trustPem: [...issued.trustPem, authority.certificatePem] };
    const nodeListFile = new DurableFile(join(folder.path, 'nodes.json'), nodeListSchema.nullable());
    world.nodeList = before;
    const forwarder = await world.forwarder({ accessPoints: [0, 1], identity, settings: { nodeListFile } });
    expect(forwarder.accessPoint()?.name).toBe('node-0');
    await world.until('the list is known', () => forwarder.status().nodeList?.version === 3);

    world.nodeList = list;
    world.nodes[0]!.tellOfList();
    await world.until('the newer list is known', () => forwarder.status().nodeList?.version === 4);
    await world.until('it is left', () => {
      const name = forwarder.accessPoint()?.name;
      return name !== undefined && name !== 'node-0';
    });
    world.nodeList = before;
    world.nodes[1]!.tellOfList();
    await forwarder.close();

    // What was kept is enough: whoever holds the stolen key is not believed.
    await expect(
      world.forwarder({ accessPoints: [0], identity, settings: { nodeListFile } }),
    ).rejects.toMatchObject({ code: 'CERTIFICATE_REVOKED' });
  });
});

describe('a service that is used directly', () => {
  const wayTold = () =>
    world.forwarderEvents.flatMap((event) => (event.type === 'way' ? [`${event.way}: ${event.why}`] : []));
  const byWhom = (forwarder: Forwarder) => forwarder.status().services[0]?.way;
  /** Where people reach the service at its home without the overlay. */
  let door: SilentRelay;
  beforeEach(async () => {
    door = await silentRelay(world.webPort);
    doorPort = door.port;
    world.home = 'site-0';
    answer = (request, response) => response.end(request.url);
  });
  afterEach(() => door.close());

  it('goes directly once it is known to be at home, back into the overlay when it moves, and never to a decoy', async () => {
    const forwarder = await world.forwarder({ settings: { way: 'auto' } });
    const ask = (path: string) => curl(forwarder.ready.httpProxy!, path, [], door.port);
    expect((await ask('/first')).said).toBe('/first 200');
    await world.until('it is direct', () => byWhom(forwarder) === 'direct');
    const before = world.gateway.opened;
    expect((await ask('/direct')).said).toBe('/direct 200');
    expect(world.gateway.opened).toBe(before);
    expect(forwarder.status().line).toMatch(
      new RegExp(`${serviceName} directly at ${door.address}, because it is at home`),
    );

    // The service moves; whoever now sits at the old address answers as ever, and is not asked any more.
    world.pause();
    world.wake(1);
    await world.until('it is left', () => byWhom(forwarder) === 'overlay');
    const taken = door.taken;
    expect((await ask('/moved')).said).toBe('/moved 200');
    expect(world.gateway.opened).toBe(before + 1);
    expect(door.taken).toBe(taken);
    await world.until('its reason is known', () =>
      wayTold().some((told) => told.includes('not at its home site-0')),
    );

    world.pause();
    world.wake(0);
    await world.until('it is direct again', () => byWhom(forwarder) === 'direct');
  });

  it('enters the overlay when home does not answer, and returns after five good answers only', async () => {
    const forwarder = await world.forwarder({ settings: { way: 'auto' } });
    const ask = (path: string) => curl(forwarder.ready.httpProxy!, path, [], door.port);
    await ask('/');
    await world.until('it is direct', () => byWhom(forwarder) === 'direct');
    await door.close();
    const { said, tookMs } = await ask('/away');
    expect(said).toBe('/away 200');
    expect(tookMs).toBeLessThan(2_000);
    expect(byWhom(forwarder)).toBe('overlay');
    expect(forwarder.status().line).toContain(`${serviceName} does not answer at home`);
    const openedAt = performance.now();
    door = await silentRelay(world.webPort, door.port);
    await world.until('it is direct again', () => byWhom(forwarder) === 'direct');
    expect(performance.now() - openedAt).toBeGreaterThan(3_000);
  });

  it('is never used directly where nobody said where home is, or by a certificate for something else', async () => {
    world.home = undefined;
    const forwarder = await world.forwarder({ settings: { way: 'auto' } });
    expect((await curl(forwarder.ready.httpProxy!, '/', [], door.port)).said).toBe('/ 200');
    await world.until('it is asked', () => wayTold().length > 0);
    expect(wayTold()).toEqual(['overlay: nobody has said where its home is']);
  });
});

describe('the renewal of a certificate', () => {
  const lifeMs = 6_000;
  const client = (more: Partial<Parameters<OverlayWorld['authority']['issue']>[0]> = {}) =>
    world.authority.issue({
      role: 'client',
      name: 'ada',
      services: [serviceName],
      notBefore: new Date(Date.now() - CLOCK_SKEW_MS - 2 * lifeMs),
      notAfter: new Date(Date.now() + lifeMs),
      ...more,
    });

  it('asks for a new key at two thirds of its life and enters with it; a refusal is told and tried again', async () => {
    const asked: { serial: string; requestPem: string }[] = [];
    const saved: string[] = [];
    const identity = await client();
    world.renew = async (renewal) => {
      asked.push(renewal);
      if (asked.length === 1) throw new MoveError('RENEWAL_UNAVAILABLE', 'Not now.');
      return world.authority.certify(renewal.requestPem, {
        role: 'client',
        name: 'ada',
        services: [serviceName],
      });
    };
    const forwarder = await world.forwarder({
      accessPoints: [0, 1],
      identity,
      settings: { saveIdentity: async ({ certificatePem }) => void saved.push(certificatePem) },
    });
    await world.until('it is renewed', () => world.forwarderEvents.some((event) => event.type === 'renewed'));
    expect(world.forwarderEvents).toContainEqual(
      expect.objectContaining({ type: 'not-renewed', code: 'RENEWAL_UNAVAILABLE' }),
    );
    expect(asked.map(({ serial }) => serial)).toEqual([
      identity.certificate.serialNumber,
      identity.certificate.serialNumber,
    ]);
    const renewed = new X509Certificate(saved[0]!);
    expect(renewed.publicKey.equals(identity.certificate.publicKey)).toBe(false);
    await world.until('it is used', () =>
      world.nodes.some((node) => node.status().clients.some(({ serial }) => serial === renewed.serialNumber)),
    );
    await world.until('the old one is not', () =>
      world.nodes.every((node) =>
        node.status().clients.every(({ serial }) => serial !== identity.certificate.serialNumber),
      ),
    );
    expect((await curl(forwarder.ready.httpProxy!, '/renewed')).said).toBe('GET /renewed 200');
    expect(forwarder.status().certificate.notAfter).toBe(renewed.validToDate.getTime());
  });

  it('takes nothing that is not for its key, and asks for none where a test was passed', async () => {
    world.renew = async () => ({
      certificatePem: (await client({ notAfter: new Date(Date.now() + 60_000) })).certificatePem,
    });
    await world.forwarder({ identity: await client() });
    await world.until('it is refused', () =>
      world.forwarderEvents.some((event) => event.type === 'not-renewed' && event.code === 'RENEWAL_WRONG'),
    );
    const bound = await world.forwarder({ identity: await client({ boundAddress: '127.0.0.1' }) });
    expect(bound.status().certificate.renewal).toContain('pass the test again');
  });
});

it('says what it does in one line and as JSON, to nobody who comes under another name', async () => {
  const { ready } = await world.forwarder({});
  const ask = (path: string, more: string[] = []) =>
    runProgram('curl', ['-s', '-m', '5', ...more, `${ready.httpProxy}${path}`], { timeoutMs: 6_000 });
  const line = (await ask('/status.txt')).stdout;
  expect(line).toMatch(
    /^overlay via node-0 \(127\.0\.0\.1:\d+\), because everything shall go .*; 0 connections\n$/,
  );
  expect(JSON.parse((await ask('/status')).stdout)).toMatchObject({ line: line.trim(), wanted: 'overlay' });
  expect((await ask('/status', ['-H', 'Host: evil.example', '-w', '%{http_code}'])).stdout).toMatch(/403$/);
});
