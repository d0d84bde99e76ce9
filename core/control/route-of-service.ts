import type { OverlayStatus } from '../contract/agent-contract.ts';

type Seen = Pick<OverlayStatus, 'paths' | 'onward'>;

/** The nodes that the newest paths of any access point go through to a site. */
export function servletsOf(states: ReadonlyMap<string, Seen>): Set<string> {
  const servlets = new Set<string>();
  for (const [accessPoint, { paths }] of states)
    for (const service of Object.keys(paths)) {
      const route = routeOf(states, accessPoint, service);
      if (route.length > 1) servlets.add(route.at(-1)!);
    }
  return servlets;
}

/**
 * The overlay nodes of a service's most recent path from `accessPoint`, which comes first; the last one talks
 * to the site. On the full ring no node knows the whole way, so that what each passed on is put together; with
 * several ways in use at once it may be pieced from two of them. Empty when the access point used none.
 */
export function routeOf(
  states: ReadonlyMap<string, Seen>,
  accessPoint: string | null,
  service: string,
): string[] {
  const path = accessPoint === null ? undefined : states.get(accessPoint)?.paths[service];
  if (accessPoint === null || !path) return [];
  const route = [accessPoint];
  let next: { node: string; servlet: boolean } | null | undefined = path.next;
  while (next && !route.includes(next.node)) {
    route.push(next.node);
    next = next.servlet ? null : states.get(next.node)?.onward[service];
  }
  // A directory node may draw as servlet a node that the stream came through.
  if (next?.servlet) route.push(next.node);
  return route;
}
