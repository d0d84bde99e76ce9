import type { Service, Site } from '../contract/domain.ts';
import {
  defaultServiceCapacity,
  defaultSiteOffer,
  type ServiceCapacity,
  type SiteOffer,
} from '../contract/response-settings.ts';
import { MoveError } from '../runtime/errors.ts';
import type { Random } from '../runtime/random.ts';

export interface TargetQuestion {
  sites: readonly Site[];
  /** Every service: what it needs, where it is, where capacity is reserved for it. */
  services: readonly Pick<Service, 'id' | 'site' | 'capacity'>[];
  service: string;
  /** The site where the service is. */
  from: string;
  /** Services that are on their way to a site, by site: they need room there, too. */
  arriving?: Readonly<Record<string, readonly string[]>>;
  /** Sites that are out of the question, and why: busy with another move, or one that was asked and said no. */
  passedOver?: Readonly<Record<string, string>>;
  /** Sites that were attacked not long ago: drawn only when there is no other. */
  lately?: ReadonlySet<string>;
  /** The site that is kept current with the service: drawn before all others, unless it was attacked lately. */
  spare?: string | null;
}

export interface TargetChoice {
  site: Site;
  /** Whether capacity there was agreed in advance, or is taken on demand. */
  basis: 'agreed' | 'on demand';
  /** Among how many sites it was drawn. */
  among: number;
}

/**
 * Draws the site that a service moves to (MOVE section 2.4: "a random hosting site is selected and,
 * after querying its current status"): among the sites that answer, have room and are not attacked at this
 * moment, by a generator that nobody can predict. The service's spare comes first, then where capacity was agreed in
 * advance; then sites that were not attacked lately, then those that run no service, so that services that are attacked
 * together do not meet at one; among equals other ISPs do. What is reserved for another service is not taken.
 * @throws MoveError `NO_TARGET` with why each site was passed over.
 */
export function chooseTarget(question: TargetQuestion, random: Random): TargetChoice {
  const { sites, from, service, services, lately } = question;
  const source = sites.find((site) => site.id === from);
  const passed: Record<string, string> = {};
  const usable = sites.filter((site) => {
    const why = whyNot(site, question);
    if (why) passed[site.id] = why;
    return why === null;
  });
  const agreed = new Set(capacityOf(services, service).reservedAt);
  const isElsewhere = (site: Site) => site.isp !== source?.isp;
  const isEmpty = (site: Site) => site.pods.length === 0;
  const isCalm = (site: Site) => !lately?.has(site.id);
  const isSpare = (site: Site) => site.id === question.spare && isCalm(site);
  const isAgreed = (site: Site) => agreed.has(site.id);
  const wishes = [isSpare, isAgreed, isCalm, isEmpty, isElsewhere];
  // Each wish narrows what is left, unless nothing would be left of it.
  const pool = wishes.reduce((left, wish) => {
    const narrowed = left.filter(wish);
    return narrowed.length > 0 ? narrowed : left;
  }, usable);
  if (pool.length === 0)
    throw new MoveError(
      'NO_TARGET',
      'No other site can take the service now. See the details for why each was passed over.',
      { passed },
    );
  const site = pool[random.below(pool.length)]!;
  return { site, basis: agreed.has(site.id) ? 'agreed' : 'on demand', among: pool.length };
}

/** Why a site cannot take the service now, as far as the control plane knows; null when it can. */
export function whyNot(site: Site, question: TargetQuestion): string | null {
  if (site.id === question.from) return 'the service is there now';
  if (site.reach !== 'up') return 'it does not answer';
  if (site.attacked) return 'it is attacked';
  return question.passedOver?.[site.id] ?? whyNoRoom(site, question);
}

function whyNoRoom(site: Site, { services, service, arriving }: TargetQuestion): string | null {
  const offer: SiteOffer = site.offers ?? defaultSiteOffer;
  const here = new Set([...site.pods, ...(arriving?.[site.id] ?? [])]);
  here.delete(service);
  const reserved = services
    .filter((other) => other.id !== service && capacityOf(services, other.id).reservedAt.includes(site.id))
    .map(({ id }) => id);
  const taken = new Set([...here, ...reserved]);
  const needed = [...taken, service].map((id) => capacityOf(services, id));
  const sum = (what: (capacity: ServiceCapacity) => number) =>
    needed.reduce((total, capacity) => total + what(capacity), 0);
  const kept = reserved.length > 0 ? ', and keeps some for others by agreement' : '';
  if (taken.size + 1 > offer.pods) return `it runs ${here.size} of ${offer.pods} services already${kept}`;
  if (sum(({ memoryMb }) => memoryMb) > offer.memoryMb) return `it offers ${offer.memoryMb} MB${kept}`;
  if (sum(({ processors }) => processors) > offer.processors + 1e-9)
    return `it offers ${offer.processors} processors${kept}`;
  return null;
}

function capacityOf(services: TargetQuestion['services'], id: string): ServiceCapacity {
  return services.find((known) => known.id === id)?.capacity ?? defaultServiceCapacity;
}
