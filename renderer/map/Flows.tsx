import type { ClientHost, Lifeline, Move, MovePhaseName, Service } from '../../core/contract/domain.ts';
import { bytes, mbit } from '../format.ts';
import {
  angleOf,
  around,
  between,
  chord,
  onRing,
  type Point,
  spread,
  through,
  turn,
} from '../model/geometry.ts';
import type { Places } from '../model/places.ts';
import { activeAttacks, movesUnderWay } from '../model/reading.ts';
import { useCollection } from '../store/console-store.ts';
import { text } from '../text.ts';

type Angles = Readonly<Record<string, number>>;

/** Requests of a service: client, overlay nodes of its path, site; dashed where somebody goes directly. */
export function ServicePath(props: { service: Service; places: Places; angles: Angles; focused: boolean }) {
  const { service, places, angles } = props;
  const hosts = useCollection('clients');
  const site = places.sites[service.site];
  const home = places.sites[service.homeSite];
  const access = service.accessPoint === null ? undefined : angles[service.accessPoint];
  const route = service.route.flatMap((node) => angles[node] ?? []);
  const last = route.at(-1);
  const users = Object.values(hosts).filter((host) => host.role === 'client');
  return (
    <g className="service-path" data-focused={props.focused} data-parked={service.state === 'moving'}>
      {users.map((host) => {
        const from = places.clients[host.id];
        if (!from) return null;
        const way = wayOf(host);
        if (way === 'direct' && home && props.focused)
          return (
            <path key={host.id} className="flow-direct" d={through(directWay(from, home, home.angle))} />
          );
        if (way === 'overlay' && props.focused && access !== undefined)
          return <path key={host.id} className="flow-path" d={through(entry(from, access, places))} />;
        return null;
      })}
      {route.slice(1).map((angle, hop) => (
        <path
          key={`${route[hop]} ${angle}`}
          className="flow-path"
          d={chord(onRing(route[hop]!), onRing(angle))}
        />
      ))}
      {last !== undefined && site && (
        <path
          className="flow-path leaving"
          d={through([onRing(last), ...around(last, site.angle, leavingDepth, 26), site])}
        />
      )}
    </g>
  );
}

/** By which way a client uses a service right now. */
export function wayOf(host: ClientHost): 'overlay' | 'direct' | 'idle' {
  return host.reach === 'down' || host.path === 'none' ? 'idle' : host.path;
}

/** Ways keep apart in the moat: in to the access point close to the ring, out to the site close to the sectors. */
const enteringDepth = -0.44;
const leavingDepth = -0.2;

function entry(from: Point, access: number, places: Places): Point[] {
  const seen = angleOf(from);
  const gap = [...places.gaps].sort((a, b) => Math.abs(turn(seen, a)) - Math.abs(turn(seen, b)))[0] ?? seen;
  return [from, between(gap, 0.42), ...leave(gap, access), onRing(access)];
}

function leave(from: number, to: number): Point[] {
  return Math.abs(turn(from, to)) > 48 ? around(from, to, enteringDepth, 26) : [];
}

function directWay(from: Point, site: Point, angle: number): Point[] {
  return [from, ...around(angleOf(from), angle, 1.04), site];
}

/** The line from the new site through the stone to what was left at the old one. */
export function LifelineFlow({ lifeline, places }: { lifeline: Lifeline; places: Places }) {
  const from = places.sites[lifeline.fromSite];
  const stone = places.stones[lifeline.stone];
  const to = places.sites[lifeline.toSite];
  if (!from || !stone || !to || lifeline.state === 'closed') return null;
  const route = [from, stone, ...around(stone.angle, to.angle, -0.32), between(to.angle, 0.06), to];
  const width = 2.5 + Math.min(4, Math.log10(1 + lifeline.bytesPerSecond / 10_000) * 1.6);
  const d = through(route);
  return (
    <g className="lifeline" data-state={lifeline.state}>
      <path className="lifeline-line" d={d} strokeWidth={width} />
      <path className="lifeline-core" d={d} />
      <g transform={`translate(${stone.x} ${stone.y})`}>
        <text className="steady flow-label near-only" y={stone.y > 60 ? 43 : -35} textAnchor="middle">
          {lifeline.state === 'cut'
            ? `${text.map.legendItems.lifeline} cut`
            : `${bytes(lifeline.bytesPerSecond)}/s`}
        </text>
      </g>
    </g>
  );
}

/** Floods where they hit: one bundle from every source to the primary link, with what arrives. */
export function FloodFlows({ places }: { places: Places }) {
  const floods = useCollection('floods');
  const sites = useCollection('sites');
  const attacks = activeAttacks(useCollection('attacks'));
  const running = Object.values(floods).filter((flood) => flood.state === 'running');
  const targets = new Map<string, { bots: string[]; rate: number; sources: number | null }>();
  for (const attack of attacks)
    targets.set(attack.site, {
      bots: [],
      rate: Math.max(attack.inboundMbit, sites[attack.site]?.primaryInMbit ?? 0),
      sources: attack.sources,
    });
  for (const flood of running) {
    const known = targets.get(flood.site);
    targets.set(flood.site, {
      bots: [...(known?.bots ?? []), ...flood.bots],
      rate: flood.offeredMbit,
      sources: known?.sources ?? flood.bots.length,
    });
  }
  return (
    <g className="floods">
      {[...targets].map(([id, target]) => {
        const site = places.sites[id];
        if (!site) return null;
        const from = target.bots.map((bot) => places.bots[bot]).filter((bot) => bot !== undefined);
        return (
          <Bundle key={id} site={site} from={from.length > 0 ? from : [between(-90, 1.2)]} {...target} />
        );
      })}
    </g>
  );
}

function Bundle(props: {
  site: Places['sites'][string];
  from: Point[];
  rate: number;
  sources: number | null;
}) {
  const { site, from } = props;
  const strands = Math.max(3, Math.min(9, Math.round(24 / from.length)));
  return (
    <g className="flood">
      {from.map((start, bot) =>
        Array.from({ length: strands }, (_, strand) => {
          const key = `${bot}-${strand}`;
          const a = spread(`${key}a`) - 0.5;
          const b = spread(`${key}b`) - 0.5;
          const end = { x: site.x + a * 84, y: site.y + b * 24 };
          return (
            <path
              key={key}
              d={through([{ x: start.x + a * 12, y: start.y }, ...floodWay(start, site, a, b), end])}
              strokeWidth={0.8 + spread(key) * 0.9}
              opacity={0.35 + spread(`${key}o`) * 0.5}
            />
          );
        }),
      )}
      <g transform={`translate(${site.x} ${site.y})`}>
        <text className="steady flood-label" y={site.size === 'card' ? 50 : 36} textAnchor="middle">
          {text.map.flood(props.sources, mbit(props.rate))}
        </text>
      </g>
    </g>
  );
}

/** Strands bow apart on a short way, and go around outside the sectors on a long one. */
function floodWay(start: Point, site: Point & { angle: number }, a: number, b: number): Point[] {
  if (Math.abs(turn(angleOf(start), site.angle)) > 64)
    return around(angleOf(start), site.angle, 1.06 + a * 0.12, 18);
  const x = site.x - start.x;
  const y = site.y - start.y;
  return [{ x: start.x + x * 0.55 + a * 26 + y * 0.1, y: start.y + y * 0.55 + b * 26 - x * 0.1 }];
}

/** How far along its way the state of a pod is, by phase. */
const progress: Record<MovePhaseName, number> = {
  prepare: 0,
  freeze: 0,
  dump: 0,
  ship: 0.5,
  verify: 1,
  restore: 1,
  commit: 1,
  announce: 1,
  firstAnswer: 1,
};

/** The ways that frozen services travel: dotted ahead, solid behind. */
export function MoveWays({ places }: { places: Places }) {
  const moves = useCollection('moves');
  return movesUnderWay({ moves }).map((move) => {
    const way = wayOfMove(move, places);
    if (!way) return null;
    const first = through([way.from, way.stone]);
    const second = through([
      way.stone,
      ...around(way.stone.angle, way.to.angle, -0.22),
      between(way.to.angle, 0.04),
      way.to,
    ]);
    return (
      <g key={move.id} className="move-flow">
        <path className="move-way" d={first} />
        <path className="move-way" d={second} />
        <path className="move-done" d={first} pathLength={1} data-full={way.share >= 0.5} />
        <path className="move-done" d={second} pathLength={1} data-full={way.share >= 1} />
      </g>
    );
  });
}

/** Where a frozen service is right now, and in which phase: drawn above everything else. */
export function MoveTokens({ places }: { places: Places }) {
  const moves = useCollection('moves');
  return movesUnderWay({ moves }).map((move) => {
    const way = wayOfMove(move, places);
    if (!way) return null;
    const words =
      move.state === 'paused' && move.pausedBefore
        ? text.move.pausedBefore(text.phases.name[move.pausedBefore])
        : text.phases.name[way.phase];
    const underWay = way.share > 0 && way.share < 1;
    const at = underWay ? way.stone : way.share === 0 ? way.from : way.to;
    const lift = underWay ? (at.y > 60 ? -24 : 32) : at.y > 0 ? -44 : 50;
    return (
      <g key={move.id} className="move-token" style={{ transform: `translate(${at.x}px, ${at.y}px)` }}>
        <title>{`${move.service}: ${words}`}</title>
        <g className="steady">
          {underWay && <path className="move-dot" d="M 0 -10 L 10 0 L 0 10 L -10 0 Z" />}
          <g transform={`translate(0 ${lift})`}>
            <rect
              className="move-tag"
              x={-words.length * 3.7 - 9}
              y={-14}
              width={words.length * 7.4 + 18}
              height={21}
              rx={5}
            />
            <text className="move-word" textAnchor="middle">
              {words}
            </text>
          </g>
        </g>
      </g>
    );
  });
}

function wayOfMove(move: Move, places: Places) {
  const from = places.sites[move.from];
  const stone = places.stones[move.stone];
  const to = places.sites[move.to];
  if (!from || !stone || !to) return null;
  const phase = move.phases.at(-1)?.phase ?? 'prepare';
  return { from, stone, to, phase, share: progress[phase] };
}
