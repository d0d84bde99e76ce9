import type { ServiceDescription } from '../contract/agent-contract.ts';
import { type ServiceFile, serviceFileSchema } from '../contract/service-file.ts';
import { readCheckedYaml } from '../runtime/checked-yaml.ts';

/** What a service file is checked against beside its own form. */
export interface ServiceSurroundings {
  sites: ReadonlySet<string>;
  /** Who else holds a site, in words; null when nobody does. Whether that is a fault is the caller's to say. */
  siteHolder?: (site: string) => string | null;
  /** Every service that there is. */
  services: readonly Pick<ServiceDescription, 'hostname' | 'homeSite' | 'port' | 'direct'>[];
}

/** What tells the pods of two services apart on a site: their hostnames with dashes for dots, 40 characters of it. */
const podName = (hostname: string) => hostname.replaceAll('.', '-').slice(0, 40);

/**
 * Reads a service file: what `assets/services/` documents. `source` is what errors call it.
 * @throws MoveError `SERVICE_FILE_INVALID`; each fault names its line and field.
 */
export function readServiceFile(text: string, source: string, around: ServiceSurroundings): ServiceFile {
  const naming = { what: 'service file', source, code: 'SERVICE_FILE_INVALID' };
  return readCheckedYaml(text, serviceFileSchema, naming, (file) => {
    const faults: { path: string[]; fault: string }[] = [];
    if (!around.sites.has(file.homeSite) && !around.siteHolder?.(file.homeSite))
      faults.push({
        path: ['homeSite'],
        fault: `there is no hosting site ${file.homeSite}; there are ${[...around.sites].sort().join(', ')}`,
      });
    const same = around.services.find((other) => podName(other.hostname) === podName(file.hostname));
    if (same) faults.push({ path: ['hostname'], fault: `${same.hostname} is there already` });
    const neighbour = around.services.find(
      (other) => other.direct && other.homeSite === file.homeSite && other.port === file.port,
    );
    if (file.direct && neighbour && !same)
      faults.push({
        path: ['port'],
        fault: `port ${file.port} of ${file.homeSite} is that of ${neighbour.hostname} for direct users; choose another home, another port, or "direct: false"`,
      });
    return faults;
  });
}

/** The service as agents know it. */
export function describeServiceFile(file: ServiceFile, number: number): ServiceDescription {
  const { http, tcp } = file.probe;
  return {
    hostname: file.hostname,
    image: file.image,
    command: file.command,
    port: file.port,
    direct: file.direct,
    terminals: file.terminals,
    withoutIoUring: true,
    storage: file.storage ? { path: file.storage.path, mountPoint: file.storage.mountPoint } : null,
    homeSite: file.homeSite,
    probe: http
      ? {
          kind: 'http',
          port: http.port ?? file.port,
          path: http.path,
          ...(http.status === undefined ? {} : { status: http.status }),
        }
      : {
          kind: 'tcp',
          port: tcp?.port ?? file.port,
          ...(tcp?.firstBytes === undefined ? {} : { firstBytes: tcp.firstBytes }),
        },
    ...(file.limits === undefined ? {} : { limits: file.limits }),
    ...(file.dialOut === undefined ? {} : { dialOut: file.dialOut }),
    number,
  };
}
