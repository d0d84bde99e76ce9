import { seededRandom } from '../../core/runtime/random.ts';
import { until, World, worldImpossible } from '../system/world.ts';
import { CopyWatch } from './copy-watch.ts';
import { addCountService, countService } from './count-service.ts';
import { CountingClient } from './counting-client.ts';
import { type Aim, drawFault, type Fault, faults } from './faults.ts';

const service = countService;
const port = 6390;
/** The fault comes at a random instant of what a move usually takes, and lasts as long as this at most. */
const moveMs = 1_000;
const longestFaultMs = 5_000;
const recoverMs = 30_000;

export interface ChaosResult {
  passed: boolean;
  runs: number;
  seed: number;
  /** How the moves ended. */
  ends: Record<string, number>;
  /** Runs for each fault. */
  faults: Record<string, number>;
  twoCopies: number;
  noCopy: number;
  lostWrites: number;
  acknowledgedWrites: number;
  memoryLostWithItsMachine: number;
  recoveredMs: { median: number; worst: number };
  failures: { run: number; fault: string; afterMs: number; forMs: number; what: string }[];
}

/** One run as its seed has it: the same seed disturbs in the same order at the same instants. */
interface Disturbance {
  fault: Fault;
  afterMs: number;
  forMs: number;
  to: number;
}

/**
 * Moves a Redis again and again and lets one fault loose at a random instant of each move. Afterwards, within 30 s of
 * the fault's end and without help: exactly one copy runs and answers, what was acknowledged is there, and at no instant two
 * copies ran. Only what stood in the memory of a site that lost its power may be gone, and is counted.
 */
export async function runMoves(options: {
  runs: number;
  seed: number;
  only?: string | undefined;
  say: (line: string) => void;
}): Promise<ChaosResult> {
  const why = worldImpossible();
  if (why) throw new Error(`This cannot run here: ${why}.`);
  const among = options.only ? faults.filter(({ name }) => name === options.only) : faults;
  if (among.length === 0)
    throw new Error(
      `There is no fault ${options.only}. Known are: ${faults.map(({ name }) => name).join(', ')}.`,
    );
  const random = seededRandom(options.seed);
  const world = await World.up({ jumpingClock: true });
  const watch = new CopyWatch(world, service);
  let counter: CountingClient | null = null;
  const result: ChaosResult = {
    passed: false,
    runs: 0,
    seed: options.seed,
    ends: {},
    faults: {},
    twoCopies: 0,
    noCopy: 0,
    lostWrites: 0,
    acknowledgedWrites: 0,
    memoryLostWithItsMachine: 0,
    recoveredMs: { median: 0, worst: 0 },
    failures: [],
  };
  const recovered: number[] = [];
  try {
    await addCountService(world);
    await world.connect('client-1', {
      credential: await world.issue({ services: [service] }),
      forwards: [`${port}=${service}:6379`],
    });
    watch.start();
    counter = CountingClient.start(world.hosts, 'client-1', port);
    const person = counter;
    await until('the count has begun', () => person.acknowledged > 10, 20_000);
    for (let run = 0; run < options.runs; run += 1) {
      const disturbance: Disturbance = {
        fault: drawFault(random, among),
        afterMs: random.below(moveMs),
        forMs: 200 + random.below(longestFaultMs - 200),
        to: random.below(5),
      };
      const { fault, afterMs, forMs } = disturbance;
      const began = person.acknowledged;
      const failures = await disturb(world, watch, person, disturbance, (end, ms) => {
        result.ends[end] = (result.ends[end] ?? 0) + 1;
        recovered.push(ms);
      });
      result.runs += 1;
      result.faults[fault.name] = (result.faults[fault.name] ?? 0) + 1;
      const lost = person.lost.splice(0);
      if (lost.length > 0 && fault.losesMemory) result.memoryLostWithItsMachine += 1;
      else if (lost.length > 0) {
        result.lostWrites += lost.length;
        failures.push(`acknowledged writes were lost: ${lost[0]}`);
      }
      const doubles = watch.doubles.splice(0);
      result.twoCopies += doubles.length;
      if (doubles.length > 0) failures.push(`two copies ran at once, at ${doubles[0]}`);
      result.acknowledgedWrites += Math.max(0, person.acknowledged - began);
      for (const what of failures) result.failures.push({ run, fault: fault.name, afterMs, forMs, what });
      options.say(
        `${run + 1}/${options.runs} ${fault.name} after ${afterMs} ms for ${forMs} ms: ${
          failures.length === 0
            ? `recovered ${Math.round(recovered.at(-1) ?? 0)} ms after its end`
            : failures.join('; ')
        }`,
      );
      // A world that did not recover says nothing about the next fault.
      if (failures.some((what) => what.startsWith('not recovered'))) {
        result.noCopy += 1;
        break;
      }
    }
  } finally {
    watch.stop();
    await counter?.stop();
    await world.down();
  }
  recovered.sort((a, b) => a - b);
  result.recoveredMs = {
    median: Math.round(recovered[recovered.length >> 1] ?? 0),
    worst: Math.round(recovered.at(-1) ?? 0),
  };
  result.passed = result.failures.length === 0 && result.runs === options.runs;
  return result;
}

/** One disturbed move; returns what was wrong afterwards. */
async function disturb(
  world: World,
  watch: CopyWatch,
  person: CountingClient,
  { fault, afterMs, forMs, to }: Disturbance,
  ended: (end: string, recoveredMs: number) => void,
): Promise<string[]> {
  const from = world.state.services[service]!.site;
  const others = Object.keys(world.state.sites)
    .filter((site) => site !== from)
    .sort();
  const target = others[to % others.length]!;
  const { move } = await world.client.call('move.start', { service, to: target });
  const aim: Aim = { service, move: move.id, from, to: target, stone: move.stone };
  // An instant of the move, not a wait for anything.
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  const end = await fault.begin(world, aim);
  await new Promise((resolve) => setTimeout(resolve, forMs));
  await end();
  const endedAt = performance.now();
  const left = () => recoverMs - (performance.now() - endedAt);
  try {
    const state = await until(
      'the move has ended',
      () => {
        const now = world.state.moves[move.id]?.state;
        return now === 'done' || now === 'rolled-back' ? now : null;
      },
      left(),
    );
    await until('the service runs', () => world.state.services[service]?.state === 'running', left());
    await until('one copy runs', () => watch.running().length === 1, left());
    await until('it answers', () => person.answeredAt > endedAt, left());
    ended(state, performance.now() - endedAt);
    return [];
  } catch (thrown) {
    ended(world.state.moves[move.id]?.state ?? 'unknown', performance.now() - endedAt);
    const copies = await world.copies(service).catch(() => []);
    return [
      `not recovered within 30 s: ${thrown instanceof Error ? thrown.message : String(thrown)} ${JSON.stringify(copies)}`,
    ];
  }
}
