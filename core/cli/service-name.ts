import { MoveError } from '../runtime/errors.ts';
import type { ControlLink } from './control-link.ts';

/**
 * The service that a person means: its full name, or the first part of it where only one begins so.
 * @throws MoveError `UNKNOWN_SERVICE` or `AMBIGUOUS_SERVICE`, naming the services that there are.
 */
export async function fullServiceName(link: ControlLink, typed: string): Promise<string> {
  const services = Object.keys((await link.ready()).state.services).sort();
  if (services.includes(typed)) return typed;
  const meant = services.filter((service) => service.startsWith(`${typed}.`));
  if (meant.length === 1 && meant[0] !== undefined) return meant[0];
  if (meant.length > 1)
    throw new MoveError(
      'AMBIGUOUS_SERVICE',
      `"${typed}" could be ${meant.join(' or ')}. Write the whole name.`,
      {
        services: meant,
      },
    );
  throw new MoveError(
    'UNKNOWN_SERVICE',
    services.length > 0
      ? `There is no service "${typed}". There are: ${services.join(', ')}.`
      : `There is no service "${typed}", nor any other yet. "move lab up" brings the lab's own.`,
    { services },
  );
}
