import { useMemo, useRef } from 'react';
import type { ClientHost, Service, Stone } from '../../core/contract/domain.ts';
import { latency, place } from '../format.ts';
import { mapBounds, type Point, sectorPath } from '../model/geometry.ts';
import { type Places, placeAll, placeNodes } from '../model/places.ts';
import { serviceInFocus } from '../model/reading.ts';
import { useCollection, useConsole } from '../store/console-store.ts';
import { useTelemetry } from '../store/telemetry-store.ts';
import { useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';
import { FloodFlows, LifelineFlow, MoveTokens, MoveWays, ServicePath, wayOf } from './Flows.tsx';
import { type NodeRole, Ring } from './Ring.tsx';
import { SiteSpot } from './Sites.tsx';
import { Spot } from './Spot.tsx';

/** A key that changes only when something appears or disappears, so that places are kept otherwise. */
const names = (record: Readonly<Record<string, unknown>>) => Object.keys(record).join(' ');

function usePlaces(): Places {
  const isps = useCollection('isps');
  const sites = useCollection('sites');
  const stones = useCollection('stones');
  const clients = useCollection('clients');
  const key = [isps, sites, stones, clients].map(names).join('|');
  // biome-ignore lint/correctness/useExhaustiveDependencies: places depend on who exists, not on their figures
  return useMemo(() => placeAll({ isps, sites, stones, clients }), [key]);
}

function useAngles(): Readonly<Record<string, number>> {
  const nodes = useCollection('nodes');
  const phase = useConsole((store) => store.state.console.console?.phase);
  const kept = useRef<Readonly<Record<string, number>>>({});
  const settled =
    phase === 'ready' ||
    Object.values(nodes).every((node) => node.ringIdentifier !== null || node.reach === 'down');
  kept.current = placeNodes(kept.current, nodes, settled);
  return kept.current;
}

function rolesOf(service: Service | null): ReadonlyMap<string, NodeRole[]> {
  const roles = new Map<string, NodeRole[]>();
  const give = (node: string | null, role: NodeRole) => {
    if (node !== null) roles.set(node, [...(roles.get(node) ?? []), role]);
  };
  if (service) {
    give(service.accessPoint, 'access-point');
    give(service.servlet, 'servlet');
    give(service.directory, 'directory');
  }
  return roles;
}

/** The whole drawing in map units; a wrapper around it says how near one looks. */
export function MapDrawing() {
  const places = usePlaces();
  const angles = useAngles();
  const sites = useCollection('sites');
  const stones = useCollection('stones');
  const clients = useCollection('clients');
  const services = useCollection('services');
  const lifelines = useCollection('lifelines');
  const chosen = useUi((ui) => ui.service);
  const focusId = useConsole((store) => serviceInFocus(store.state, chosen)?.id ?? null);
  const focus = focusId === null ? null : (services[focusId] ?? null);
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset cannot stand for a drawing
    <svg
      className="map-drawing"
      width={mapBounds.width}
      height={mapBounds.height}
      viewBox={`${mapBounds.x} ${mapBounds.y} ${mapBounds.width} ${mapBounds.height}`}
      role="group"
      aria-label={text.map.label}
    >
      {places.sectors.map((sector) => (
        <g key={sector.id} className="sector">
          <path d={sectorPath(sector.from, sector.to)} />
          <g transform={`translate(${sector.label.x} ${sector.label.y})`}>
            <text className="steady sector-name" textAnchor="middle" dominantBaseline="middle">
              {sector.name}
            </text>
          </g>
        </g>
      ))}
      {Object.values(services).map((service) => (
        <ServicePath
          key={service.id}
          service={service}
          places={places}
          angles={angles}
          focused={service.id === focusId}
        />
      ))}
      {Object.values(lifelines).map((lifeline) => (
        <LifelineFlow key={lifeline.id} lifeline={lifeline} places={places} />
      ))}
      <FloodFlows places={places} />
      <Ring angles={angles} roles={rolesOf(focus)} />
      <MoveWays places={places} />
      {Object.values(stones).map((stone) => (
        <StoneSpot key={stone.id} stone={stone} spot={places.stones[stone.id]} />
      ))}
      {Object.values(sites).map((site) => {
        const spot = places.sites[site.id];
        return spot && <SiteSpot key={site.id} site={site} spot={spot} />;
      })}
      {Object.values(clients).map((host) => (
        <HostSpot key={host.id} host={host} places={places} service={focusId} />
      ))}
      <MoveTokens places={places} />
    </svg>
  );
}

function StoneSpot({ stone, spot }: { stone: Stone; spot: Places['stones'][string] | undefined }) {
  if (!spot) return null;
  // Names stand outside of the moat, where no line passes.
  const outward = spot.y > 60 ? 27 : -18;
  return (
    <Spot
      kind="stone"
      id={stone.id}
      at={spot}
      className="stone"
      label={`${text.map.inspect.kind.stone} ${place(stone.id)}, ${stone.reach}`}
      data={{ 'data-busy': stone.relays > 0, 'data-reach': stone.reach }}
    >
      <circle className="hit" r={16} />
      <path className="stone-shape" d="M 0 -11 L 11 0 L 0 11 L -11 0 Z" />
      <text className="stone-name" y={outward} textAnchor="middle">
        {place(stone.id)}
      </text>
    </Spot>
  );
}

function HostSpot({ host, places, service }: { host: ClientHost; places: Places; service: string | null }) {
  const floods = useCollection('floods');
  if (host.role === 'bot') {
    const at = places.bots[host.id];
    const flooding = Object.values(floods).some((f) => f.state === 'running' && f.bots.includes(host.id));
    if (!at) return null;
    return (
      <Spot
        kind="client"
        id={host.id}
        at={at}
        className="bot"
        label={`${text.map.inspect.kind.bot} ${host.id}, ${host.activity || text.map.role.idle}`}
        data={{ 'data-flooding': flooding }}
      >
        <circle className="hit" r={18} />
        <path className="bot-shape" d="M 0 10 L -11 -9 L 11 -9 Z" />
        <text className="bot-name" y={-17} textAnchor="middle">
          {host.id}
        </text>
      </Spot>
    );
  }
  const at = places.clients[host.id];
  const many = Object.keys(places.clients).length > 5;
  return at ? <ClientSpot host={host} at={at} service={service} many={many} /> : null;
}

function ClientSpot(props: { host: ClientHost; at: Point; service: string | null; many: boolean }) {
  const { host, at, service, many } = props;
  const telemetry = useTelemetry();
  const way = wayOf(host);
  const last = service !== null && way !== 'idle' ? telemetry.latency(service, way).at(-1) : undefined;
  const shown = last?.p50Ms == null ? null : latency(last.p50Ms);
  const line =
    way === 'idle'
      ? text.map.role.idle
      : shown
        ? `${text.latency[way]} ${shown.figure} ${shown.unit}`
        : last
          ? text.latency.waiting
          : text.latency[way];
  return (
    <Spot
      kind="client"
      id={host.id}
      at={at}
      className="client"
      label={`${text.map.inspect.kind.client} ${host.id}, ${line}`}
      data={{ 'data-way': way, 'data-many': many }}
    >
      <circle className="client-dot" r={7} />
      {many && (
        <text className="client-short" y={22} textAnchor="middle">
          {host.id}
        </text>
      )}
      <g className="client-card">
        <rect className="client-box" x={-62} y={-21} width={124} height={42} rx={8} />
        <text className="client-name" y={-3} textAnchor="middle">
          {host.id}
        </text>
        <text className="client-line" y={13} textAnchor="middle">
          {line}
        </text>
      </g>
    </Spot>
  );
}
