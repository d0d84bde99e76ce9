import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse, stringify } from 'yaml';
import type { Move } from '../../../core/contract/domain.ts';
import { MoveError } from '../../../core/runtime/errors.ts';
import { Viewer } from '../../system/world/viewer.ts';
import type { World } from '../../system/world.ts';
import { home } from './paper-network.ts';

const desktopFile = path.resolve(import.meta.dirname, '../../../assets/services/desktop.yaml');
export const desktop = 'desktop.example';
const desktopPort = 5907;

/** One measured move. */
export interface Measured {
  outageMs: number;
  phases: Readonly<Record<string, number>>;
  stateBytes: number;
  wireBytes: number;
  frozenBytes: number;
  /** Connections that clients had open before, and those of them that did not go on. */
  connectionsOpen: number;
  connectionsLost: number;
}

/** Moves a service that answers HTTP; a person who asks every 10 ms through the overlay measures its outage. */
export async function moveApache(world: World, service: string, to: string): Promise<Measured> {
  const move = await moved(world, service, to);
  if (move.outageMs === null)
    throw new MoveError('OUTAGE_UNSEEN', `Nobody saw ${service} answer after its move.`);
  return measured(move, move.outageMs, { open: move.sessionsCarried ?? 0, lost: move.sessionsLost ?? 0 });
}

/** Keeps a site current with a service, and waits until it has been twice. */
export async function keepSpare(world: World, service: string, site: string): Promise<void> {
  if (world.state.spares[service]?.site !== site)
    await world.client.call('spare.keep', { service, site, everySeconds: 2 });
  const spare = await world.until(
    `${site} is current with ${service}`,
    ({ spares }) => {
      const found = spares[service];
      return found?.state === 'current' && found.rounds >= 2 ? found : null;
    },
    60_000,
  );
  process.stderr.write(
    `spare: ${spare.rounds} rounds, ${spare.bytes} bytes, the latest ${spare.lastBytes} bytes in ${spare.lastMs} ms, ` +
      `${spare.processorMs} ms of processor\n`,
  );
}

/** Adds the desktop at the bench's home, and connects a viewer to it through the overlay. */
export async function startDesktop(world: World): Promise<DesktopViewer> {
  const file = { ...(parse(readFileSync(desktopFile, 'utf8')) as object), homeSite: home };
  await world.client.call('service.add', { text: stringify(file) }, { deadlineMs: 300_000 });
  const forwarder = await world.connect('client-1', {
    name: 'viewer',
    credential: await world.issue({ services: [desktop] }),
    forwards: [`${desktopPort}=${desktop}:5900`],
  });
  const viewer = await Viewer.start(world.hosts, 'client-1', desktopPort);
  return {
    viewer,
    async end() {
      viewer.stop();
      await forwarder.stop();
    },
  };
}

export interface DesktopViewer {
  viewer: Viewer;
  end(): Promise<void>;
}

/** Moves the desktop; its outage is from the freeze to the end of its viewer's longest silence. */
export async function moveDesktop(world: World, { viewer }: DesktopViewer, to: string): Promise<Measured> {
  const move = await moved(world, desktop, to);
  const frozenAt = move.phases.find(({ phase }) => phase === 'freeze')!.startedAt;
  const answersOnceMore = 300;
  await new Promise((resolve) => setTimeout(resolve, answersOnceMore));
  const silence = await viewer.silence(move.startedAt);
  // The viewer never connects a second time: that it sees on says that its connection was kept.
  return measured(move, silence.to - frozenAt, { open: 1, lost: silence.answers > 0 ? 0 : 1 });
}

async function moved(world: World, service: string, to: string): Promise<Move> {
  const move = await world.move({ service, to });
  if (move.state !== 'done')
    throw new MoveError(
      'MOVE_NOT_DONE',
      `A move to ${to} ended as ${move.state}: ${move.error?.message ?? ''}`,
    );
  return move;
}

function measured(move: Move, outageMs: number, connections: { open: number; lost: number }): Measured {
  const wireBytes = move.wireBytes ?? 0;
  return {
    outageMs: Math.round(outageMs),
    phases: Object.fromEntries(
      move.phases.map(({ phase, startedAt, endedAt }) => [
        phase,
        Math.round((endedAt ?? startedAt) - startedAt),
      ]),
    ),
    stateBytes: move.stateBytes ?? 0,
    wireBytes,
    frozenBytes: wireBytes - (move.aheadBytes ?? 0),
    connectionsOpen: connections.open,
    connectionsLost: connections.lost,
  };
}
