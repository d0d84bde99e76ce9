import type { Site } from '../../core/contract/domain.ts';
import { place } from '../format.ts';
import type { Places } from '../model/places.ts';
import { loadOf, namesAt, roleOfSite, type SiteRole, servicesByName } from '../model/reading.ts';
import { useConsoleState } from '../store/console-store.ts';
import { useTelemetry } from '../store/telemetry-store.ts';
import { text } from '../text.ts';
import { Spot } from './Spot.tsx';

const width = 148;
const height = 60;

/** Inbound load of a site's primary link, 0 to 1, from telemetry where it is fresh. */
export function usePrimaryLoad(site: Site): number {
  const telemetry = useTelemetry();
  const mbit = telemetry.link(site.id, 'primary')?.inMbit ?? site.primaryInMbit;
  return loadOf(mbit, site.primaryCapacityMbit);
}

const percent = (load: number) => Math.min(100, Math.round(load * 100));

/** A hosting site: its name, what it is to the services, and how full its primary link is. */
export function SiteSpot({ site, spot }: { site: Site; spot: Places['sites'][string] }) {
  const role = useConsoleState((state) => roleOfSite(site, state));
  const service = useConsoleState((state) => namesAt(site.id, state.services));
  const services = useConsoleState((state) =>
    servicesByName(state.services)
      .filter((one) => one.site === site.id)
      .map((one) => one.id.split('.')[0])
      .join(', '),
  );
  const load = usePrimaryLoad(site);
  const words = [
    `${text.map.inspect.kind.site} ${place(site.id)}`,
    text.map.role[role],
    site.attacked ? text.map.attacked : '',
    site.surge ? text.attack.surge : '',
    services,
    text.map.link(percent(load)),
  ];
  return (
    <Spot
      kind="site"
      id={site.id}
      at={spot}
      className="site"
      label={words.filter(Boolean).join(', ')}
      data={{ 'data-role': role, 'data-attacked': site.attacked }}
    >
      <Dot role={role} attacked={site.attacked} />
      {spot.size === 'card' ? (
        <Card site={site} role={role} service={service} load={load} />
      ) : (
        <SmallCard site={site} role={role} dot={spot.size === 'dot'} />
      )}
    </Spot>
  );
}

function Card({ site, role, service, load }: { site: Site; role: SiteRole; service: string; load: number }) {
  const name = place(site.id);
  const word = text.map.role[role];
  const pill = word.length * 6.3 + 14;
  const left = -width / 2 + 12;
  const bar = width - 24;
  return (
    <g className="site-card">
      <rect className="site-box" x={-width / 2} y={-height / 2} width={width} height={height} rx={8} />
      <text className="site-name" x={left} y={-9}>
        {name}
        {service !== '' && role !== 'movingOut' && (
          <tspan className="site-service" dx={6}>
            {service}
          </tspan>
        )}
      </text>
      <rect className="pill-box" x={width / 2 - 10 - pill} y={-23} width={pill} height={19} rx={5} />
      <text className="pill-word" x={width / 2 - 10 - pill / 2} y={-9.5} textAnchor="middle">
        {word}
      </text>
      <g className="near-only">
        {site.attacked && (
          <text className="site-attacked" x={left} y={11}>
            {text.map.attacked}
          </text>
        )}
        <text
          className="site-load"
          x={site.attacked ? width / 2 - 12 : left}
          y={11}
          textAnchor={site.attacked ? 'end' : 'start'}
        >
          {text.map.link(percent(load))}
        </text>
        <rect className="load-track" x={left} y={18} width={bar} height={3} rx={1.5} />
        <rect
          className="load-bar"
          x={left}
          y={18}
          width={bar * Math.min(1, load)}
          height={3}
          rx={1.5}
          data-full={load >= 0.85}
        />
      </g>
    </g>
  );
}

function SmallCard({ site, role, dot }: { site: Site; role: SiteRole; dot: boolean }) {
  if (dot)
    return (
      <g className="site-card">
        <circle className="site-box" r={9} />
        <text className="site-name tiny" y={22} textAnchor="middle">
          {place(site.id)}
        </text>
        <title>{`${place(site.id)}, ${text.map.role[role]}`}</title>
      </g>
    );
  return (
    <g className="site-card">
      <rect className="site-box" x={-40} y={-19} width={80} height={38} rx={7} />
      <text className="site-name tiny" y={-3} textAnchor="middle">
        {place(site.id)}
      </text>
      <text className="pill-word" y={12} textAnchor="middle">
        {site.attacked && role === 'idle' ? text.map.attacked : text.map.role[role]}
      </text>
    </g>
  );
}

/** From afar: a filled square lives, a dashed one is the home that was left, a hollow one is idle, a ring is an attack. */
function Dot({ role, attacked }: { role: SiteRole; attacked: boolean }) {
  return (
    <g className="site-dot">
      {attacked && <circle className="dot-attack" r={19} />}
      <rect className="dot" data-role={role} x={-9} y={-9} width={18} height={18} rx={5} />
    </g>
  );
}
