import { MoveError } from '../runtime/errors.ts';
import { allowsService, type Claims, type Identity } from './identity.ts';
import type { Role } from './roles.ts';

/** What an organisation may make: what it runs, where it runs it, and who may come to it. */
const makes: readonly Role[] = ['service', 'site', 'client'];

/**
 * Whether an organisation's authority may say what a certificate says. Several organisations share one overlay: the
 * operator signs each an authority that names its services and its sites, and whatever it signs beyond those is worth
 * nothing, whoever judges it.
 * @throws MoveError `CERTIFICATE_OVERREACHED`.
 */
export function checkOrganisation(
  claims: Claims & Pick<Identity, 'addresses'>,
  organisation: Identity,
): void {
  const { role, name } = claims;
  const services = claims.services === 'any' ? null : claims.services;
  const excess = [
    organisation.role !== 'organisation' && `it was signed by a ${organisation.role}`,
    !makes.includes(role) && `an organisation cannot make a ${role}`,
    !services?.every((service) => allowsService(organisation, service)) && 'it names services of others',
    role === 'site' && !organisation.sites?.includes(name) && `${name} is not one of its sites`,
    role === 'service' && !allowsService(organisation, name) && `${name} is not one of its services`,
  ].find((fault) => fault !== false);
  if (excess === undefined) return;
  throw new MoveError(
    'CERTIFICATE_OVERREACHED',
    `The certificate of ${name} says more than the organisation ${organisation.name} may grant: ${excess}. Ask the operator of the overlay for a wider scope.`,
    { name, role, organisation: organisation.name, reason: excess },
  );
}

/**
 * Whether two scopes touch: a service or a site belongs to one organisation, or to the operator, alone.
 * @throws MoveError `SCOPE_TAKEN`.
 */
export function checkUntaken(
  wanted: { services: readonly string[]; sites: readonly string[] },
  taken: { holder: string; services: readonly string[]; sites: readonly string[] },
): void {
  const name =
    wanted.services.find((service) => taken.services.includes(service)) ??
    wanted.sites.find((site) => taken.sites.includes(site));
  if (name === undefined) return;
  throw new MoveError('SCOPE_TAKEN', `${name} belongs to ${taken.holder} already. Choose another name.`, {
    name,
    holder: taken.holder,
  });
}
