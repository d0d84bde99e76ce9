import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import type { OutputOf } from '../../../core/contract/contract.ts';
import { seededRandom } from '../../../core/runtime/random.ts';
import { homePage, World } from '../world.ts';

const labs = path.resolve(import.meta.dirname, '../../../assets/labs');
const page = path.resolve(import.meta.dirname, '../../../assets/samples/shop/index.html');
const periodMs = 20;

export interface HalfKilled {
  requests: number;
  failed: number;
  /** Reasons of those that failed, and between when and when they were asked, in milliseconds after the loss. */
  reasons: Record<string, { count: number; firstMs: number; lastMs: number }>;
  /** Requests that needed more than one attempt, and the longest that one of them took. */
  retried: number;
  longestMs: number;
  /** From the loss of half the nodes until the invariant was seen to hold over all that are left. */
  invariantAfterMs: number;
  verification: OutputOf<'ring.verify'>;
}

/**
 * A world with a ring of `nodes`, of which half lose their power at the same moment while somebody asks for the page
 * 50 times a second; watches for `seconds` more.
 */
export async function loseHalfOfTheRing(nodes: number, seconds: number, seed: number): Promise<HalfKilled> {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'move-half-'));
  const spec = path.join(directory, 'lab.yaml');
  writeFileSync(spec, ringOf(nodes));
  let world: World | undefined;
  try {
    world = await World.up({ spec });
    return await watchHalfGo(world, nodes, seconds, seed);
  } finally {
    rmSync(directory, { recursive: true });
    await world?.down();
  }
}

/** The lab of 32 nodes with fewer of them, and the list length that suits that many. */
function ringOf(nodes: number): string {
  const whole = parse(readFileSync(path.join(labs, 'ring-of-32.yaml'), 'utf8')) as {
    networks: { role: string; hosts: string[] }[];
    ring?: unknown;
  };
  for (const network of whole.networks)
    if (network.role === 'overlay' && network.hosts.length > nodes) {
      network.hosts = network.hosts.slice(0, nodes);
      delete whole.ring;
    }
  return stringify(whole);
}

async function watchHalfGo(world: World, nodes: number, seconds: number, seed: number): Promise<HalfKilled> {
  await world.until('the ring holds', (state) => state.ring.ring?.holds === true, 60_000);
  const whole = await world.client.call('ring.verify', {}, { deadlineMs: 30_000 });
  if (!whole.ok || whole.members.length !== nodes) throw new Error(`no whole ring: ${JSON.stringify(whole)}`);
  const names = Object.keys(world.state.nodes).sort();
  const random = seededRandom(seed);
  const order = names
    .map((name) => ({ name, by: random.below(1 << 30) }))
    .sort((left, right) => left.by - right.by)
    .map(({ name }) => name);
  const killed = order.slice(0, nodes / 2);
  // She enters by a node that will be lost: her forwarder has to find another way in.
  const access = order.map((name) => `${world.address(name, 'global')}:7400`);
  const person = await world.connect('client-1', { accessPoints: access });
  await world.hosts.write(
    'client-1',
    '/tmp/steadfast-client.ts',
    readFileSync(path.join(import.meta.dirname, 'steadfast-client.ts')),
  );
  const asking = await world.hosts.start('client-1', 'exec /opt/move/bin/node /tmp/steadfast-client.ts');
  const printed: Buffer[] = [];
  asking.stdout.on('data', (chunk: Buffer) => printed.push(chunk));
  asking.stdin.write(
    `${JSON.stringify({
      proxy: person.ready.httpProxy,
      url: `http://shop.example${homePage.path}`,
      periodMs,
      attemptMs: 2_000,
      limitMs: 10_000,
      bytes: statSync(page).size,
    })}\n`,
  );
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  const killedAt = Date.now();
  await Promise.all(killed.map((name) => world.setPower(name, false)));
  const end = killedAt + seconds * 1000;
  let invariantAfterMs = Number.POSITIVE_INFINITY;
  let verification = whole;
  while (Date.now() < end) {
    verification = await world.client.call('ring.verify', {}, { deadlineMs: 30_000 });
    if (verification.ok && verification.members.length === nodes - killed.length) {
      invariantAfterMs = Date.now() - killedAt;
      break;
    }
  }
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, end - Date.now())));
  asking.stdin.end();
  await asking.exited;
  const all = JSON.parse(Buffer.concat(printed).toString('utf8')) as {
    at: number;
    ms: number;
    attempts: number;
    ok: boolean;
    why: string | null;
  }[];
  const outcomes = all.filter(({ at }) => at >= killedAt && at < end);
  await person.stop();
  const failed = outcomes.filter(({ ok }) => !ok);
  const reasons: HalfKilled['reasons'] = {};
  for (const { why, at } of failed) {
    const known = reasons[why ?? ''];
    const lastMs = Math.round(at - killedAt);
    reasons[why ?? ''] = { count: (known?.count ?? 0) + 1, firstMs: known?.firstMs ?? lastMs, lastMs };
  }
  return {
    requests: outcomes.length,
    failed: failed.length,
    reasons,
    retried: outcomes.filter(({ attempts }) => attempts > 1).length,
    longestMs: Math.round(Math.max(...outcomes.map(({ ms }) => ms))),
    invariantAfterMs,
    verification,
  };
}
