import { MoveError } from '../../runtime/errors.ts';

const hostname = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;

/** Whether a request in origin form asks for the proxy's own file, and not for a service. */
export const isProxyAutoConfig = (url: string): boolean => /^\/proxy\.pac(?:\?|$)/.test(url);

/**
 * A proxy auto-config file: these services through the proxy at `host:port`, everything else directly. A
 * certificate for any service names none, so the query has to: `/proxy.pac?service=shop.example`.
 * @throws MoveError `REQUEST_INVALID` when none is named or a name is none; `ADDRESS_DENIED` when the file was asked
 * for under another name than the proxy's own, as a foreign page would that had its name point here.
 */
export function proxyAutoConfig(
  request: { url: string; host: string | undefined },
  proxy: { host: string; port: number },
  allowed: readonly string[] | 'any',
): string {
  const address = askedByOwnName(request.host, proxy, '/proxy.pac');
  const asked = new URL(request.url, `http://${address}`).searchParams.getAll('service');
  const services = asked.length > 0 ? asked.map((name) => name.toLowerCase()) : allowed;
  if (services === 'any' || services.length === 0)
    throw new MoveError(
      'REQUEST_INVALID',
      'Your certificate names no single service. Name those that shall go through the overlay: /proxy.pac?service=shop.example',
    );
  const wrong = services.find((name) => !hostname.test(name));
  if (wrong !== undefined)
    throw new MoveError('REQUEST_INVALID', `"${wrong.slice(0, 100)}" is no name of a service.`);
  return `function FindProxyForURL(url, host) {
  var services = ${JSON.stringify(services)};
  host = host.toLowerCase().replace(/\\.$/, '');
  return services.indexOf(host) < 0 ? 'DIRECT' : 'PROXY ${address}';
}
`;
}

/**
 * The proxy's own address, when it was asked for under it, and not under another name as a foreign page would that had
 * its name point here. @throws MoveError `ADDRESS_DENIED`.
 */
export function askedByOwnName(
  asked: string | undefined,
  proxy: { host: string; port: number },
  path: string,
): string {
  const address = `${proxy.host.includes(':') ? `[${proxy.host}]` : proxy.host}:${proxy.port}`;
  if (asked === address || asked === `localhost:${proxy.port}`) return address;
  throw new MoveError('ADDRESS_DENIED', `Ask for this at http://${address}${path}.`);
}
