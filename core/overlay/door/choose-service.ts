import { normaliseAddress } from '../../credentials/names.ts';
import { MoveError } from '../../runtime/errors.ts';
import { cookieValue, serviceCookie } from './cookies.ts';

export interface DoorService {
  hostname: string;
  port: number;
}

/** Where a request stands: at a service's own host name, or at the access point's address with or without a choice. */
export interface Origin {
  /** The service whose host name the origin has; null at the access point's own address. */
  own: DoorService | null;
  /** The service that requests of this origin go to; null before one was chosen. */
  service: DoorService | null;
}

/**
 * Tells by Host, and at the access point's own address by a cookie, which service is meant. Any other name is
 * refused, so that nobody's DNS can make the door speak under it.
 * @throws MoveError `HOST_UNKNOWN`.
 */
export function originOf(
  request: { host: string | undefined; cookie: string | undefined; localAddress: string | undefined },
  services: readonly DoorService[],
): Origin {
  const name = hostnameOf(request.host ?? '');
  const own = services.find(({ hostname }) => hostname === name);
  if (own) return { own, service: own };
  if (name === '' || normaliseAddress(name) !== request.localAddress)
    throw new MoveError(
      'HOST_UNKNOWN',
      `This access point serves nothing called ${name.slice(0, 80) || 'so'}. Check the address that you typed.`,
    );
  const chosen = cookieValue(request.cookie, serviceCookie);
  return { own: null, service: services.find(({ hostname }) => hostname === chosen) ?? null };
}

/** A Host field without its port, in lower case, an IPv6 address without brackets. */
function hostnameOf(host: string): string {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+))(?::\d{1,5})?$/i.exec(host);
  return (match?.[1] ?? match?.[2] ?? '').toLowerCase().replace(/\.$/, '');
}
