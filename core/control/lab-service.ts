import type { ServiceDescription } from '../contract/agent-contract.ts';
import type { FleetManifest } from '../lab/manifest.ts';
import { apacheCommand } from '../pods/pod-spec.ts';
import { MoveError } from '../runtime/errors.ts';

/** How services of an image that the lab's own specification names are started. */
const imageCommands: Readonly<Record<string, readonly string[]>> = { apache: apacheCommand };
const labProbePath = '/icons/blank.gif';

/**
 * A service of the lab's own specification, as agents know it. @throws MoveError `IMAGE_UNKNOWN`.
 */
export function describeLabService(
  service: FleetManifest['services'][number],
  number: number,
): ServiceDescription {
  const command = imageCommands[service.image];
  if (!command)
    throw new MoveError(
      'IMAGE_UNKNOWN',
      `Nobody knows how to start a service of the image ${service.image}. Known are: ${Object.keys(imageCommands).join(', ')}. Others are added from a file of their own.`,
    );
  return {
    hostname: service.hostname,
    image: service.image,
    command: [...command],
    port: service.port,
    direct: true,
    terminals: false,
    withoutIoUring: false,
    storage: { path: service.storage, mountPoint: service.mountPoint },
    homeSite: service.homeSite,
    probe: { kind: 'http', port: service.port, path: labProbePath },
    number,
  };
}
