import type { ServiceDescription } from '../contract/agent-contract.ts';
import type { PodSpec } from '../pods/port.ts';

/** The name under which a service's storage stands in its checkpoint. */
export const storageName = 'storage';

/** The pod's identifier on every site: the hostname with dashes for dots. */
export function podIdentifier(hostname: string): string {
  return hostname.replaceAll('.', '-').slice(0, 40);
}

/** The pod that runs a service; the same description wherever it runs. */
export function podOfService(service: ServiceDescription): PodSpec {
  return {
    id: podIdentifier(service.hostname),
    service: service.hostname,
    image: service.image,
    command: service.command,
    ports: [service.port],
    storage: [{ mountPoint: service.storage.mountPoint, name: storageName }],
    hostname: service.hostname.split('.')[0] ?? 'pod',
    probe: { path: service.probePath, port: service.port },
  };
}
