import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MoveError } from '../../core/runtime/errors.ts';
import { World, worldImpossible } from '../system/world.ts';
import { measureLifeline } from './move/lifelines.ts';
import {
  desktop,
  keepSpare,
  type Measured,
  moveApache,
  moveDesktop,
  startDesktop,
} from './move/our-moves.ts';
import { bars, paper } from './move/paper.ts';
import {
  apache,
  type Destination,
  destinations,
  home,
  narrowApache,
  narrowHome,
  paperNetwork,
} from './move/paper-network.ts';
import { spread } from './move/spread.ts';
import { type StockMove, StockTools, stockApache, stockDesktop } from './move/stock-tools.ts';

interface Row {
  what: string;
  service: 'apache' | 'desktop';
  from: string;
  to: Destination;
  /** Whether the target is kept current with the service. */
  spare?: boolean;
}

const rows: Readonly<Record<keyof typeof bars, Row>> = {
  'apache-co-located': { what: 'table 2', service: 'apache', from: home, to: 'co-located' },
  'apache-remote': { what: 'table 2', service: 'apache', from: home, to: 'remote' },
  'apache-narrow': {
    what: 'over a secondary link of 5 Mbit/s; a plain move, no hot spare',
    service: 'apache',
    from: narrowHome,
    to: 'co-located',
  },
  'apache-narrow-spare': {
    what: 'over a secondary link of 5 Mbit/s, to a hot spare',
    service: 'apache',
    from: narrowHome,
    to: 'co-located',
    spare: true,
  },
  'vnc-site-1': { what: 'figure 5', service: 'desktop', from: home, to: 'co-located' },
  'vnc-site-2': { what: 'figure 5', service: 'desktop', from: home, to: 'remote' },
  'vnc-site-3': { what: 'figure 5', service: 'desktop', from: home, to: 'far' },
};
type RowName = keyof typeof rows;
const lifelines = 'lifelines';
const parts: readonly string[] = [...Object.keys(rows), lifelines];
const runsUnlessSaid = 5;
/** Opens what later moves find open; not counted. */
const warmUps = 1;

/**
 * Rebuilds the moves of section 4 of the MOVE paper (its table 2 and figures 5 to 7) in a lab with its round trips and
 * rates. Every row is the outage that a client sees, who asks every 10 ms: of our moves, through the overlay and over a
 * connection that is open before; and, in turn with them, of the same move by stock tools. `passed` says that every row
 * that was measured holds its bar, is ahead of stock tools, and that no open connection was lost.
 * Words: `--only ROW,ROW`, `--runs N` (5 unless given). @throws MoveError `USAGE`, `BENCH_IMPOSSIBLE`,
 * `MOVE_NOT_DONE`, `STOCK_FAILED`, `CANCELLED`.
 */
export async function run(words: string[]): Promise<{ passed: boolean } & Record<string, unknown>> {
  const { only, runs } = wishes(words);
  const why = worldImpossible();
  if (why) throw new MoveError('BENCH_IMPOSSIBLE', `The lab of this bench cannot be brought up: ${why}.`);
  const stopped = new AbortController();
  const stop = () => stopped.abort();
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
  const directory = mkdtempSync(path.join(tmpdir(), 'move-bench-'));
  const spec = path.join(directory, 'lab-spec.yaml');
  // Every JSON text is YAML.
  writeFileSync(spec, JSON.stringify(paperNetwork()));
  const world = await World.up({ spec }).finally(() => rmSync(directory, { recursive: true, force: true }));
  try {
    const measured: Record<string, Awaited<ReturnType<typeof measureRow>>> = {};
    for (const name of Object.keys(rows) as RowName[])
      if (only.has(name)) measured[name] = await measureRow(world, name, runs, stopped.signal);
    const lifeline = only.has(lifelines) ? await lifelineRows(world, stopped.signal) : undefined;
    return {
      passed: Object.values(measured).every(({ holds }) => holds),
      runs,
      rows: measured,
      ...(lifeline ? { lifelines: lifeline } : {}),
      paper: paper.source,
    };
  } catch (thrown) {
    if (stopped.signal.aborted) throw new MoveError('CANCELLED', 'The bench was stopped.');
    throw thrown;
  } finally {
    await world.down();
    process.off('SIGINT', stop);
    process.off('SIGTERM', stop);
  }
}

async function measureRow(world: World, name: RowName, runs: number, signal: AbortSignal) {
  const row = rows[name];
  const { site, roundTripMs } = destinations[row.to];
  const ours: Measured[] = [];
  const stock: StockMove[] = [];
  const mover = row.service === 'apache' ? await apacheMover(world, row) : await desktopMover(world, row);
  try {
    const tools = await StockTools.prepare(world, mover.stock, row.from, site);
    try {
      for (let run = 0; run < runs + warmUps; run += 1) {
        signal.throwIfAborted();
        const our = await mover.there(site);
        await mover.home();
        const theirs = await tools.move();
        if (run < warmUps) continue;
        ours.push(our);
        stock.push(theirs);
        process.stderr.write(
          `${name} ${run} of ${runs}: ours ${our.outageMs} ms, stock ${theirs.outageMs} ms\n`,
        );
      }
    } finally {
      await tools.remove();
    }
  } finally {
    await mover.end();
  }
  const outageMs = spread(ours.map((one) => one.outageMs));
  const stockOutageMs = spread(stock.map((one) => one.outageMs));
  const bar = bars[name];
  const lost = ours.reduce((sum, one) => sum + one.connectionsLost, 0);
  const holds = {
    bar: bar === null || outageMs.median <= bar,
    aheadOfStock: outageMs.median < stockOutageMs.median,
    connectionsKept: lost === 0,
  };
  return {
    what: row.what,
    roundTripMs,
    barMs: bar ?? 'none',
    holds: Object.values(holds).every(Boolean),
    held: holds,
    ours: {
      outageMs,
      outagesMs: ours.map((one) => one.outageMs),
      toStock: Math.round((outageMs.median / stockOutageMs.median) * 100) / 100,
      phasesMs: mediansOfPhases(ours),
      stateBytes: spread(ours.map((one) => one.stateBytes)).median,
      wireBytes: spread(ours.map((one) => one.wireBytes)).median,
      wireBytesWhileFrozen: spread(ours.map((one) => one.frozenBytes)).median,
      connectionsOpen: ours.reduce((sum, one) => sum + one.connectionsOpen, 0),
      connectionsLost: lost,
    },
    stockTools: {
      outageMs: stockOutageMs,
      outagesMs: stock.map((one) => one.outageMs),
      wireBytes: spread(stock.map((one) => one.wireBytes)).median,
      connectionsOpen: stock.reduce((sum, one) => sum + one.connectionsOpen, 0),
      connectionsLost: stock.reduce((sum, one) => sum + one.connectionsOpen - one.connectionsKept, 0),
    },
    paperMs: paper.outageMs[name],
    ...(row.service === 'desktop' ? { paperFigure: paper.vncFigure5 } : {}),
  };
}

interface Mover {
  stock: typeof stockApache;
  there(site: string): Promise<Measured>;
  home(): Promise<unknown>;
  end(): Promise<void>;
}

async function apacheMover(world: World, row: Row): Promise<Mover> {
  const service = row.from === home ? apache : narrowApache;
  return {
    stock: stockApache,
    async there(site) {
      if (row.spare) await keepSpare(world, service, site);
      return moveApache(world, service, site);
    },
    home: () => moveApache(world, service, row.from),
    end: async () => {
      if (row.spare) await world.client.call('spare.drop', { service });
    },
  };
}

async function desktopMover(world: World, row: Row): Promise<Mover> {
  const viewer = await startDesktop(world);
  return {
    stock: stockDesktop,
    there: (site) => moveDesktop(world, viewer, site),
    home: () => moveDesktop(world, viewer, row.from),
    async end() {
      await viewer.end();
      await world.client.call('service.remove', { service: desktop }, { deadlineMs: 30_000 });
    },
  };
}

function mediansOfPhases(moves: readonly Measured[]): Record<string, number> {
  const names = Object.keys(moves[0]?.phases ?? {});
  return Object.fromEntries(
    names.map((name) => [name, spread(moves.map((move) => move.phases[name] ?? 0)).median]),
  );
}

async function lifelineRows(world: World, signal: AbortSignal) {
  const measured: Record<string, unknown> = {};
  for (const [name, { site, roundTripMs, rateMbit }] of Object.entries(destinations)) {
    signal.throwIfAborted();
    await moveApache(world, apache, site);
    measured[name] = {
      askedRoundTripMs: roundTripMs,
      linkMbitPerSecond: rateMbit,
      ours: await measureLifeline(world, site, `lifeline-${site}`),
      paper: paper.lifeline,
    };
  }
  await moveApache(world, apache, home);
  return measured;
}

function wishes(words: readonly string[]): { only: ReadonlySet<string>; runs: number } {
  const said = new Map<string, string>();
  for (let at = 0; at < words.length; at += 2) said.set(words[at]!, words[at + 1] ?? '');
  const only = said.get('--only')?.split(',') ?? parts;
  const runs = Number(said.get('--runs') ?? runsUnlessSaid);
  const known = [...said.keys()].every((word) => word === '--only' || word === '--runs');
  if (
    !known ||
    only.some((name) => !parts.includes(name)) ||
    !Number.isInteger(runs) ||
    runs < 1 ||
    runs > 100
  )
    throw new MoveError(
      'USAGE',
      `Say: npm run -s bench -- move [--only ROW,ROW] [--runs N]. Rows: ${parts.join(', ')}.`,
    );
  return { only: new Set(only), runs };
}
