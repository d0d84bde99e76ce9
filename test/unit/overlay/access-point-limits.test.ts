import { afterEach, beforeEach, expect, it } from 'vitest';
import type { MoveError } from '../../../core/runtime/errors.ts';
import type { Link } from '../../../core/runtime/link/link.ts';
import type { LinkStream } from '../../../core/runtime/link/link-stream.ts';
import { connectLink } from '../../../core/runtime/link/link-tls.ts';
import type { OverlayWorld } from '../../support/overlay-world.ts';
import { createOverlayWorld, serviceName } from '../../support/overlay-world.ts';

const big = Buffer.alloc(2 << 20);
const header = { kind: 'service', service: serviceName, port: 80 };
let world: OverlayWorld;
const links: Link[] = [];

beforeEach(async () => {
  world = await createOverlayWorld((asked, answer) => answer.end(asked.url === '/big' ? big : 'a page'));
});
afterEach(async () => {
  for (const link of links.splice(0)) link.close();
  await world.close();
});

/** A client that obeys nothing but the protocol. */
async function client(name: string): Promise<Link> {
  const link = await connectLink({
    transport: { host: '127.0.0.1', port: world.nodes[0]!.port },
    identity: await world.authority.issue({ role: 'client', name, services: [serviceName] }),
    verifyPeer: () => undefined,
    deadlineMs: 3000,
  });
  links.push(link);
  return link;
}

const open = (link: Link): Promise<LinkStream> => link.openStream(header, { deadlineMs: 5000 });
const codeOf = (link: Link): Promise<string> =>
  open(link).then(
    (stream) => {
      stream.destroy();
      return 'opened';
    },
    (error: MoveError) => error.code,
  );

it('carries 64 connections of one certificate at once, and those of others beside them', async () => {
  const [mallory, ada] = await Promise.all([client('mallory'), client('ada')]);
  const held = await Promise.all(Array.from({ length: 64 }, () => open(mallory)));
  expect(await codeOf(mallory)).toBe('TOO_MANY_SESSIONS');
  expect(await codeOf(ada)).toBe('opened');
  held[0]!.destroy();
  await world.until('there is room again', () => world.nodes[0]!.status().sessions.length < 64);
  expect(await codeOf(mallory)).toBe('opened');
});

it('cuts connections that nobody reads until what waits for their certificate is within its budget', async () => {
  const [mallory, ada] = await Promise.all([client('mallory'), client('ada')]);
  const codes: string[] = [];
  const ask = (stream: LinkStream) => stream.write(`GET /big HTTP/1.1\r\nHost: ${serviceName}\r\n\r\n`);
  for (const stream of await Promise.all(Array.from({ length: 64 }, () => open(mallory)))) {
    stream.on('error', (error) => codes.push((error as MoveError).code));
    ask(stream);
  }
  const single = await open(ada);
  ask(single);
  // 64 windows of 256 KiB are twice the budget of 8 MiB.
  await world.until('half of them are cut', () => codes.length >= 32);
  expect(codes.length).toBeLessThanOrEqual(40);
  expect(new Set(codes)).toEqual(new Set(['BUFFERS_FULL']));
  expect(single.destroyed).toBe(false);
});

it('slows down who opens connections and gives them up before they are answered', async () => {
  const [mallory, ada] = await Promise.all([client('mallory'), client('ada')]);
  let refused = 0;
  for (let index = 0; index < 400; index += 1) {
    const stream = mallory.openStreamNow(header);
    stream.accepted.catch((error: MoveError) => {
      if (error.code === 'TOO_MANY_SESSIONS') refused += 1;
    });
    stream.write('GET / HTTP/1.1\r\n');
    // Begun at the access point before it is given up.
    await stream.accepted.catch(() => undefined);
    stream.destroy();
  }
  expect(refused).toBeGreaterThan(50);
  expect(await codeOf(ada)).toBe('opened');
});
