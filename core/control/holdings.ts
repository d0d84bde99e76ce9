import type { ConsoleState } from '../contract/state.ts';
import type { Identity } from '../credentials/identity.ts';
import { MoveError } from '../runtime/errors.ts';

type Scope = Pick<Identity, 'name' | 'services' | 'sites'>;

/**
 * What is this control plane's and what is somebody else's. Several share one overlay: its operator's, which has
 * everything that no organisation was given, and one for each organisation, which has the sites and services that the
 * operator's signature on its authority names.
 */
export interface Holdings {
  /** Who holds a site, in words; null when it is this control plane's. */
  siteHolder(site: string): string | null;
  /** Who holds a service, in words; null when it is this control plane's. */
  serviceHolder(hostname: string): string | null;
}

export const theOperator = 'the operator of the overlay';

/** As an operator has it; `given` are sites that are an organisation's whatever became of its admission. */
export function operatorHoldings(
  organisations: () => readonly Scope[],
  given: (site: string) => string | null,
): Holdings {
  const holder = (has: (scope: Scope) => boolean) => {
    const found = organisations().find(has);
    return found ? `the organisation ${found.name}` : null;
  };
  return {
    siteHolder: (site) => {
      const name = given(site);
      return name === null
        ? holder(({ sites }) => sites?.includes(site) ?? false)
        : `the organisation ${name}`;
    },
    serviceHolder: (hostname) =>
      holder(({ services }) => services === 'any' || services.includes(hostname.toLowerCase())),
  };
}

/** As an organisation has it. */
export function organisationHoldings(own: Scope): Holdings {
  const others = `${theOperator} or another organisation`;
  return {
    siteHolder: (site) => (own.sites?.includes(site) ? null : others),
    serviceHolder: (hostname) =>
      own.services === 'any' || own.services.includes(hostname.toLowerCase()) ? null : others,
  };
}

/** @throws MoveError `SITE_FOREIGN` when somebody else holds the site. */
export function requireOwnSite(holdings: Pick<Holdings, 'siteHolder'>, site: string): void {
  const holder = holdings.siteHolder(site);
  if (holder !== null) throw siteForeign(site, holder);
}

/** @throws MoveError `SERVICE_FOREIGN` when somebody else holds the service. */
export function requireOwnService(holdings: Pick<Holdings, 'serviceHolder'>, hostname: string): void {
  const holder = holdings.serviceHolder(hostname);
  if (holder === null) return;
  throw new MoveError(
    'SERVICE_FOREIGN',
    `${hostname} belongs to ${holder}, whose own control plane runs and moves it. Ask there.`,
    { service: hostname, holder },
  );
}

export function siteForeign(site: string, holder: string): MoveError {
  return new MoveError(
    'SITE_FOREIGN',
    `${site} belongs to ${holder}, whose own control plane drives it. Choose a site of your own.`,
    { site, holder },
  );
}

/** Who holds a host that the console shows, where that is somebody else; null otherwise. */
export function shownHolder(
  state: Pick<ConsoleState, 'sites' | 'nodes' | 'stones'>,
  host: string,
): string | null {
  return (state.sites[host] ?? state.nodes[host] ?? state.stones[host])?.holder ?? null;
}

/** The sites that are this control plane's. */
export function ownSites({ sites }: Pick<ConsoleState, 'sites'>): ConsoleState['sites'][string][] {
  return Object.values(sites).filter(({ holder }) => holder === undefined);
}
