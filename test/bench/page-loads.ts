import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import type { ServicePath } from '../../core/contract/domain.ts';
import { pathChoice } from '../../core/contract/path-secrecy.ts';
import type { RemoteProgram } from '../../core/fleet/host-connection.ts';
import { MoveError } from '../../core/runtime/errors.ts';
import { service, World, worldImpossible } from '../system/world.ts';
import { shopWindow } from './page-loads/shop-window.ts';
import { accessPointsNear, readers, spreadLab } from './page-loads/spread-lab.ts';

/** Table 1 of the MOVE paper: the initial pages of six web servers through 76 nodes on PlanetLab. */
const paper = { source: 'MOVE, table 1: 25 requests each', lowestRatio: 1.96, highestRatio: 2.85 };

const policies: readonly ServicePath[] = [
  { policy: 'one-hop', nearest: 1 },
  { policy: 'two-hop', nearest: 1 },
  { policy: 'two-hop', nearest: 3 },
  { policy: 'full-ring', nearest: 1 },
];
const loadsUnlessSaid = 25;
/** Every so many loads a second page is loaded over the same connections. */
const againEvery = 5;
const loadLimitMs = 10_000;
const pagePath = '/window/';

const answerSchema = z.object({
  firstMs: z.number(),
  againMs: z.number().nullable(),
  requests: z.number(),
  bytes: z.number(),
  connections: z.number(),
  firstConnectMs: z.number(),
});
type Loaded = z.infer<typeof answerSchema>;

/**
 * Loads a page with its parts, again and again, from people at three round trips: directly, and through the
 * forwarder by each path policy, in turn, over a lab of its own with shaped links. `firstVisit` opens every
 * connection anew, as in the paper; `nextPage`, on every fifth
 * load, finds them open. Ratios are of medians, overlay to direct.
 * `passed` says that the default policy is no slower than the slowest of the paper's ratios at any round trip.
 * Words: `--loads N`, 25 unless given. @throws MoveError `BENCH_IMPOSSIBLE`, `LOAD_FAILED`, `CANCELLED`.
 */
export async function run(words: string[]): Promise<{ passed: boolean } & Record<string, unknown>> {
  const loads = loadsOf(words);
  const why = worldImpossible();
  if (why) throw new MoveError('BENCH_IMPOSSIBLE', `The lab of this bench cannot be brought up: ${why}.`);
  const stopped = new AbortController();
  const stop = () => stopped.abort();
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  const begun = performance.now();
  const directory = mkdtempSync(path.join(tmpdir(), 'move-page-loads-'));
  const spec = path.join(directory, 'lab-spec.yaml');
  // Every JSON text is YAML.
  writeFileSync(spec, JSON.stringify(spreadLab()));
  const world = await World.up({ spec }).finally(() => rmSync(directory, { recursive: true, force: true }));
  try {
    stopped.signal.throwIfAborted();
    return { ...(await measure(world, loads, stopped.signal)), seconds: seconds(begun) };
  } catch (thrown) {
    if (stopped.signal.aborted) throw new MoveError('CANCELLED', 'The bench was stopped.');
    throw thrown;
  } finally {
    await world.down();
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}

async function measure(world: World, loads: number, signal: AbortSignal) {
  const nodes = Object.values(world.state.nodes).length;
  await layOutPage(world);
  const directory = await world.until(
    'the directory node is known',
    ({ services }) => services[service]?.directory,
    10_000,
  );
  // The full ring has a way to go only from a node that is not the directory node itself.
  const accessPoint = accessPointsNear.find((node) => node !== directory)!;
  const people = await Promise.all(readers.map(({ host }) => Reader.start(world, host, accessPoint)));
  const direct = people.map((): Loaded[] => []);
  const through = policies.map(() => ({ loaded: people.map((): Loaded[] => []), routes: [] as string[][] }));

  for (let round = 0; round <= loads; round += 1) {
    // Round 0 opens the links, as they are for people who are there; it is not counted.
    const keep = (lists: Loaded[][], loaded: Loaded[]) => {
      if (round > 0) for (const [index, one] of loaded.entries()) lists[index]!.push(one);
    };
    signal.throwIfAborted();
    keep(direct, await oneByOne(people, 'direct', round));
    for (const [index, policy] of policies.entries()) {
      signal.throwIfAborted();
      await world.client.call('service.path', { service, ...policy });
      keep(through[index]!.loaded, await oneByOne(people, 'overlay', round));
      if (round === 1) through[index]!.routes.push(await world.route(accessPoint));
    }
    if (round % 5 === 0) process.stderr.write(`page-loads: round ${round} of ${loads}\n`);
  }

  const roundTrips = readers.map((reader, person) => ({
    askedRoundTripMs: reader.roundTripMs,
    measuredConnectMs: round1(median(direct[person]!.map(({ firstConnectMs }) => firstConnectMs))),
    direct: timesOf(direct[person]!),
    policies: policies.map((policy, index) => ({
      ...policy,
      ...comparedWith(direct[person]!, through[index]!.loaded[person]!),
    })),
  }));
  const sample = direct[0]![0]!;
  const standard = policies.findIndex(({ policy, nearest }) => policy === 'two-hop' && nearest === 1);
  return {
    passed: roundTrips.every((one) => one.policies[standard]!.firstVisit.ratio <= paper.highestRatio),
    loads,
    page: { requests: sample.requests, bytes: sample.bytes, connections: sample.connections },
    nodes,
    accessPoint,
    directoryNode: directory,
    roundTrips,
    policies: policies.map((policy, index) => {
      const { bits, likeNodes, watched, sentence } = pathChoice(policy, nodes);
      return { ...policy, bits, likeNodes, watched, sentence, exampleRoute: through[index]!.routes[0] };
    }),
    paper,
  };
}

/** A person at a client host: a forwarder, and a browser that goes through it or not. */
class Reader {
  readonly #loader: RemoteProgram;
  readonly #answers: AsyncIterator<string>;
  readonly #ways: Record<'direct' | 'overlay', object>;

  private constructor(loader: RemoteProgram, ways: Record<'direct' | 'overlay', object>) {
    this.#loader = loader;
    this.#answers = createInterface({ input: loader.stdout })[Symbol.asyncIterator]();
    this.#ways = ways;
  }

  static async start(world: World, host: string, accessPoint: string): Promise<Reader> {
    const address = world
      .accessPoints()
      .find((one) => one.startsWith(`${world.address(accessPoint, 'global')}:`));
    const forwarder = await world.connect(host, { accessPoints: address ? [address] : [] });
    const program = '/tmp/page-loader.ts';
    await world.hosts.write(
      host,
      program,
      readFileSync(path.join(import.meta.dirname, 'page-loads/page-loader.ts')),
    );
    const proxy = new URL(forwarder.ready.socksProxy);
    const home = world.state.services[service]!.homeSite;
    return new Reader(await world.hosts.start(host, `exec /opt/move/bin/node ${program}`), {
      direct: { kind: 'direct', host: world.address(home, 'primary'), port: 80 },
      overlay: { kind: 'socks', host: proxy.hostname, port: Number(proxy.port) },
    });
  }

  async load(way: 'direct' | 'overlay', again: boolean): Promise<Loaded> {
    const order = { via: this.#ways[way], service, path: pagePath, limitMs: loadLimitMs, again };
    this.#loader.stdin.write(`${JSON.stringify(order)}\n`);
    const { value, done } = await this.#answers.next();
    const answer: unknown = done ? { error: 'the page loader ended' } : JSON.parse(value);
    const loaded = answerSchema.safeParse(answer);
    if (loaded.success) return loaded.data;
    throw new MoveError('LOAD_FAILED', `A page could not be loaded (${way}): ${JSON.stringify(answer)}`);
  }
}

/** Not at the same time: they would share the site's link and this machine's processors. */
async function oneByOne(
  people: readonly Reader[],
  way: 'direct' | 'overlay',
  round: number,
): Promise<Loaded[]> {
  const again = round === 1 || round % againEvery === 0;
  const loaded: Loaded[] = [];
  for (const person of people) loaded.push(await person.load(way, again));
  return loaded;
}

async function layOutPage(world: World): Promise<void> {
  const { homeSite } = world.state.services[service]!;
  const storage = world.manifest.services.find(({ hostname }) => hostname === service)!.storage;
  await world.hosts.run(homeSite, `mkdir -p ${storage}${pagePath}`);
  for (const { path: name, content } of shopWindow())
    await world.hosts.write(homeSite, `${storage}${pagePath}${name}`, content);
  await world.hosts.run(homeSite, `chmod -R a+rX ${storage}${pagePath}`);
}

function timesOf(loaded: readonly Loaded[]) {
  const times = (pick: (one: Loaded) => number | null) => {
    const sorted = loaded.flatMap((one) => pick(one) ?? []).sort((a, b) => a - b);
    return {
      loads: sorted.length,
      medianMs: round1(median(sorted)),
      p90Ms: round1(sorted[Math.ceil(sorted.length * 0.9) - 1]!),
    };
  };
  return { firstVisit: times(({ firstMs }) => firstMs), nextPage: times(({ againMs }) => againMs) };
}

function comparedWith(direct: readonly Loaded[], overlay: readonly Loaded[]) {
  const [before, after] = [timesOf(direct), timesOf(overlay)];
  const ratio = (kind: keyof typeof before) => ({
    ...after[kind],
    ratio: Math.round((after[kind].medianMs / before[kind].medianMs) * 100) / 100,
  });
  return { firstVisit: ratio('firstVisit'), nextPage: ratio('nextPage') };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const round1 = (value: number): number => Math.round(value * 10) / 10;
const seconds = (begun: number): number => Math.round((performance.now() - begun) / 100) / 10;

function loadsOf(words: readonly string[]): number {
  if (words.length === 0) return loadsUnlessSaid;
  const count = Number(words[1]);
  if (words.length === 2 && words[0] === '--loads' && Number.isInteger(count) && count >= 1 && count <= 1000)
    return count;
  throw new MoveError('USAGE', 'Say at most how many loads: npm run -s bench -- page-loads [--loads N].');
}
