import type { AgentContract, ServiceDescription } from '../contract/agent-contract.ts';
import type { Client } from '../contract/channel.ts';
import type { Service, Site } from '../contract/domain.ts';
import type { Authority } from '../credentials/authority.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { Journal } from '../journal/journal.ts';
import type { FleetManifest } from '../lab/manifest.ts';
import type { Clock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import type { Random } from '../runtime/random.ts';
import { type Holdings, requireOwnService, siteForeign } from './holdings.ts';
import type { Recorder } from './recorder.ts';
import type { StateStore } from './state-store.ts';

/** What the parts of the control plane share while a fleet is attached. */
export interface ControlContext {
  store: StateStore;
  recorder: Recorder;
  journal: Journal;
  clock: Clock;
  random: Random;
  log: (line: string) => void;
  authority: Authority;
  fleet: Fleet;
  manifest: FleetManifest;
  /** What is this control plane's, and what is somebody else's. */
  holdings: Holdings;
  /** Protects service keys at rest. */
  passphrase: string;
  home: string;
  agent(host: string): Promise<Client<AgentContract>>;
  services: ReadonlyMap<string, ServiceDescription>;
}

/** The service of that hostname. @throws MoveError `SERVICE_UNKNOWN`, `SERVICE_FOREIGN`. */
export function serviceOf(
  context: Pick<ControlContext, 'services' | 'store' | 'holdings'>,
  hostname: string,
): { description: ServiceDescription; state: Service } {
  const description = context.services.get(hostname);
  const state = context.store.state.services[hostname];
  if (!description || !state) {
    requireOwnService(context.holdings, hostname);
    throw new MoveError(
      'SERVICE_UNKNOWN',
      `There is no service ${hostname}. Known are: ${[...context.services.keys()].join(', ') || 'none yet'}.`,
      {
        service: hostname,
      },
    );
  }
  return { description, state };
}

/** The site of that name, which is this control plane's. @throws MoveError `SITE_UNKNOWN`, `SITE_FOREIGN`. */
export function siteOf(context: ControlContext, name: string): Site {
  const site = context.store.state.sites[name];
  const holder = site ? site.holder : context.manifest.isShare && context.holdings.siteHolder(name);
  if (holder) throw siteForeign(name, holder);
  if (!site)
    throw new MoveError(
      'SITE_UNKNOWN',
      `There is no hosting site ${name}. Known are: ${Object.keys(context.store.state.sites).join(', ')}.`,
      {
        site: name,
      },
    );
  return site;
}

/** @throws MoveError `HALTED` while the emergency stop is in force. */
export function requireNotHalted(context: Pick<ControlContext, 'store'>): void {
  if (context.store.state.console.console?.halted)
    throw new MoveError('HALTED', 'The emergency stop is in force. Release it first.');
}
