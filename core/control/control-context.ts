import type { AgentContract, ServiceDescription } from '../contract/agent-contract.ts';
import type { Client } from '../contract/channel.ts';
import type { Service, Site } from '../contract/domain.ts';
import type { Authority } from '../credentials/authority.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { Journal } from '../journal/journal.ts';
import type { LabManifest } from '../lab/manifest.ts';
import type { Clock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import type { Random } from '../runtime/random.ts';
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
  manifest: LabManifest;
  /** Protects service keys at rest. */
  passphrase: string;
  home: string;
  agent(host: string): Promise<Client<AgentContract>>;
  services: ReadonlyMap<string, ServiceDescription>;
}

/** The service of that hostname. @throws MoveError `SERVICE_UNKNOWN`. */
export function serviceOf(
  context: Pick<ControlContext, 'services' | 'store'>,
  hostname: string,
): { description: ServiceDescription; state: Service } {
  const description = context.services.get(hostname);
  const state = context.store.state.services[hostname];
  if (!description || !state)
    throw new MoveError(
      'SERVICE_UNKNOWN',
      `There is no service ${hostname}. Known are: ${[...context.services.keys()].join(', ') || 'none yet'}.`,
      {
        service: hostname,
      },
    );
  return { description, state };
}

/** The site of that name. @throws MoveError `SITE_UNKNOWN`. */
export function siteOf(context: ControlContext, name: string): Site {
  const site = context.store.state.sites[name];
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
