import type { ServiceDescription } from '../contract/agent-contract.ts';
import type { PodSpec, StoragePaths } from '../pods/port.ts';

/** The name under which a service's storage stands in its checkpoint. */
const storageName = 'storage';

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
    storage: service.storage ? [{ mountPoint: service.storage.mountPoint, name: storageName }] : [],
    hostname: service.hostname.split('.')[0] ?? 'pod',
    probe: service.probe,
    terminals: service.terminals,
    withoutIoUring: service.withoutIoUring,
    ...(service.limits === undefined ? {} : { limits: service.limits }),
    ...(service.dialOut === undefined ? {} : { dialOut: service.dialOut }),
    // Every pod of a site is routed to by the host: no two services may have the same.
    serviceAddress: `100.64.${service.number}.2`,
    sourceAddress: `100.64.${service.number}.3`,
  };
}

/** The directories of this host behind the pod's storage; none where the service has no storage. */
export function storageAt(path: string | null): StoragePaths {
  return path === null ? {} : { [storageName]: path };
}
