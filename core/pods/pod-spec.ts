import { isIPv4 } from 'node:net';
import { MoveError } from '../runtime/errors.ts';
import type { PodLimits, PodSpec, StoragePaths } from './port.ts';

export const defaultServiceAddress = '100.64.0.2';
export const defaultSourceAddress = '100.64.0.3';
/** Where the gateway listens inside every pod. */
export const gatewaySocketPath = '/run/move-gateway.sock';
/** Where the gateway's program is seen inside every pod. */
export const gatewayMountPoint = '/.move-gateway';

/** The command of an unmodified Debian Apache: its own environment file, in the foreground. */
export const apacheCommand: readonly string[] = [
  '/bin/sh',
  '-c',
  '. /etc/apache2/envvars && mkdir -p "$APACHE_RUN_DIR" "$APACHE_LOCK_DIR" && exec apache2 -DFOREGROUND',
];

/** So much of what a service says first may be compared. */
export const firstBytesLimit = 256;

const idPattern = /^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/;
const hostPattern = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/i;

function refuse(field: string, rule: string): never {
  throw new MoveError('POD_SPEC_INVALID', `The pod's ${field} is not usable: ${rule}.`, { field });
}

function isPlainAbsolutePath(path: string): boolean {
  return (
    /^(?:\/[A-Za-z0-9._-]+)+$/.test(path) && !path.split('/').some((part) => part === '.' || part === '..')
  );
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65535;
}

function checkLimits({ processors, memoryMiB, processes, sendMbit }: PodLimits): void {
  const whole = (value: number | undefined, least: number) =>
    value === undefined || (Number.isSafeInteger(value) && value >= least);
  if (processors !== undefined && !(processors >= 0.05 && processors <= 1024))
    refuse('limits', 'processors are between 0.05 and 1024');
  if (!whole(memoryMiB, 8)) refuse('limits', 'memory is a whole number of MiB, 8 at least');
  if (!whole(processes, 2)) refuse('limits', 'processes are a whole number, 2 at least');
  if (sendMbit !== undefined && !(sendMbit >= 0.1 && sendMbit <= 100_000))
    refuse('limits', 'what it sends is between 0.1 and 100,000 Mbit/s');
}

/**
 * Checks a pod's description before it reaches a command line or a path.
 * @throws MoveError `POD_SPEC_INVALID` naming the field.
 */
export function checkPodSpec(spec: PodSpec): void {
  if (!idPattern.test(spec.id)) refuse('id', 'use 1 to 40 lower-case letters, digits and dashes');
  if (!hostPattern.test(spec.service)) refuse('service', 'it must be a host name');
  if (!hostPattern.test(spec.hostname) || spec.hostname.length > 63)
    refuse('hostname', 'it must be a host name');
  if (!/^[a-z0-9][a-z0-9._-]{0,63}$/.test(spec.image))
    refuse('image', 'it must be the plain name of an image');
  if (spec.command.length === 0 || spec.command.some((word) => word.includes('\0'))) {
    refuse('command', 'it needs at least the name of a program');
  }
  if (!spec.ports.every(isPort)) refuse('ports', 'each must be between 1 and 65535');
  if (!isPort(spec.probe.port)) refuse('probe', 'its port must be between 1 and 65535');
  if (spec.probe.kind === 'http' && !/^\/[\x21-\x7e]*$/.test(spec.probe.path))
    refuse('probe', 'its path must begin with a slash');
  if (spec.probe.kind === 'tcp' && Buffer.byteLength(spec.probe.firstBytes ?? '') > firstBytesLimit)
    refuse('probe', `its first bytes may be ${firstBytesLimit} at most`);
  const names = new Set<string>();
  for (const storage of spec.storage) {
    if (!/^[a-z0-9-]{1,32}$/.test(storage.name))
      refuse('storage', 'names are lower-case letters, digits, dashes');
    if (storage.name === 'gateway' || names.has(storage.name))
      refuse('storage', `the name ${storage.name} is taken`);
    if (!isPlainAbsolutePath(storage.mountPoint)) refuse('storage', 'mount points are plain absolute paths');
    names.add(storage.name);
  }
  checkLimits(spec.limits ?? {});
  for (const { address, port } of spec.dialOut ?? []) {
    if (!isIPv4(address)) refuse('dialOut', 'addresses are IPv4');
    if (!isPort(port)) refuse('dialOut', 'ports are between 1 and 65535');
  }
  for (const address of [serviceAddressOf(spec), sourceAddressOf(spec)]) {
    if (!isIPv4(address)) refuse('address', 'it must be an IPv4 address');
  }
  if (serviceAddressOf(spec) === sourceAddressOf(spec)) refuse('address', 'service and source must differ');
}

export function serviceAddressOf(spec: PodSpec): string {
  return spec.serviceAddress ?? defaultServiceAddress;
}

export function sourceAddressOf(spec: PodSpec): string {
  return spec.sourceAddress ?? defaultSourceAddress;
}

/**
 * Pairs every storage of the pod with its directory on this host.
 * @throws MoveError `POD_STORAGE_MISSING` when one has none.
 */
export function storageOnHost(
  spec: PodSpec,
  paths: StoragePaths,
): { name: string; mountPoint: string; hostPath: string }[] {
  return spec.storage.map((storage) => {
    const hostPath = paths[storage.name];
    if (!hostPath?.startsWith('/')) {
      throw new MoveError(
        'POD_STORAGE_MISSING',
        `The pod ${spec.id} needs its storage "${storage.name}", but no directory was given for it. ` +
          'Mount the lifeline first.',
        { pod: spec.id, storage: storage.name },
      );
    }
    return { name: storage.name, mountPoint: storage.mountPoint, hostPath };
  });
}
