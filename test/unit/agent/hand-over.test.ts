import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Agent } from '../../../core/agent/serve-agent.ts';
import { dialAgent, handOverAgent, proveController } from '../../../core/control/prove-controller.ts';
import { type Authority, createAuthority } from '../../../core/credentials/authority.ts';
import type { Fleet } from '../../../core/fleet/fleet.ts';
import { PASSPHRASE, temporaryDirectory } from '../credentials/helpers.ts';

const disk = temporaryDirectory();
const directories = {
  state: join(disk.path, 'state'),
  run: join(disk.path, 'run'),
  software: join(disk.path, 'software'),
};
const fleet = {
  connection: async () => ({
    forwardSocket: async () => createConnection(join(directories.run, 'agent.sock')),
  }),
} as unknown as Pick<Fleet, 'connection'>;
let operator: Authority;
let bakery: Authority;
let stop: () => Promise<void>;

beforeAll(async () => {
  operator = await createAuthority({ directory: join(disk.path, 'operator'), passphrase: PASSPHRASE });
  bakery = await createAuthority({ directory: join(disk.path, 'bakery'), passphrase: PASSPHRASE });
  stop = await new Agent(directories, () => undefined).start();
}, 60_000);
afterAll(async () => {
  await stop();
  for (const authority of [operator, bakery]) authority.close();
  disk.remove();
});

/** What an authority's control plane gets of the agent when it asks for a certificate request. */
async function ask(authority: Authority): Promise<string> {
  const client = await dialAgent(fleet, 'c1');
  try {
    await proveController('c1', client, authority);
    return (await client.call('agent.request', { name: 'c1' }, { deadlineMs: 5_000 })).requestPem;
  } catch (thrown) {
    return (thrown as { code: string }).code;
  } finally {
    client.close();
  }
}

it('gives an agent from one control plane to another: with a new key, and for good', async () => {
  const before = await ask(operator);
  expect(before).toContain('CERTIFICATE REQUEST');
  expect(await ask(bakery)).toBe('CONTROLLER_DENIED');
  mkdirSync(join(directories.state, 'decoys'), { recursive: true });
  writeFileSync(join(directories.state, 'decoys', 'page'), 'of the one before');
  const listener = await dialAgent(fleet, 'c1');
  await proveController('c1', listener, operator);

  await handOverAgent(fleet, operator, 'c1', bakery.certificate.toString());
  // Whoever was connected is put out.
  await listener.closed;
  expect(readdirSync(directories.state).sort()).toEqual(['agent.json', 'controller.pem']);
  expect(await ask(operator)).toBe('CONTROLLER_DENIED');
  const after = await ask(bakery);
  expect(after).toContain('CERTIFICATE REQUEST');
  expect(after).not.toBe(before);
  // One who died before he had written it down asks again.
  await handOverAgent(fleet, operator, 'c1', bakery.certificate.toString());

  await stop();
  stop = await new Agent(directories, () => undefined).start();
  expect(await ask(operator)).toBe('CONTROLLER_DENIED');
  expect(await ask(bakery)).toBe(after);
});

it('answers nothing to whom it does not know', async () => {
  const client = await dialAgent(fleet, 'c1');
  await expect(client.call('agent.request', { name: 'c1' })).rejects.toMatchObject({
    code: 'CONTROLLER_UNPROVEN',
  });
  const ended = Promise.withResolvers<string | undefined>();
  client.listen(
    'events',
    {},
    () => ended.resolve('it told something'),
    (error) => ended.resolve(error?.code),
  );
  expect(await ended.promise).toBe('CONTROLLER_UNPROVEN');
  client.close();
});
