import type { Peer } from '../../ring/messages.ts';
import { parsePeer } from '../../ring/messages.ts';
import { MoveError } from '../../runtime/errors.ts';
import type { LocationRecord } from '../location-record.ts';
import type { DirectoryCaller } from './directory-types.ts';

/** Refusals of a record for what a holder knows already. */
export const outdated = new Set(['EPOCH_STALE', 'LOCATION_CONFLICT', 'RECORD_EXPIRED']);
export const refusals = new Set([...outdated, 'RECORD_INVALID', 'ORGANISATION_DENIED']);
/** What says nothing about the caller: the ring or the machine had trouble. */
export const transient = new Set([
  'DIRECTORY_UNAVAILABLE',
  'LOCATE_FAILED',
  'RING_LOOKUP_FAILED',
  'RING_NOT_MEMBER',
  'INTERNAL',
]);

/** True when `a` is to be believed rather than `b`: a higher epoch, or a later word in the same one. */
export function isNewer(a: LocationRecord, b: LocationRecord): boolean {
  return a.epoch > b.epoch || (a.epoch === b.epoch && a.issuedAt > b.issuedAt);
}

/** @throws MoveError `DIRECTORY_BAD_REQUEST`. */
export function serviceName(params: Record<string, unknown>): string {
  const { service } = params;
  if (typeof service === 'string' && service.length > 0 && service.length <= 253)
    return service.toLowerCase();
  throw new MoveError('DIRECTORY_BAD_REQUEST', 'A directory call must name a service.');
}

/**
 * The node that wants to watch.
 * @throws MoveError `DIRECTORY_DENIED` when it is not the caller itself.
 */
export function speaker(params: Record<string, unknown>, from: DirectoryCaller): Peer {
  const watcher = parsePeer(params.watcher);
  if (watcher.name === from.name && watcher.identifier === from.identifier) return watcher;
  throw new MoveError('DIRECTORY_DENIED', 'An overlay node may only watch for itself.', {
    caller: from.name,
    watcher: watcher.name,
  });
}

/** What an unchecked record says of itself, for refusals. */
export function named(candidate: unknown): {
  service: string | null;
  site: string | null;
  epoch: number | null;
} {
  if (typeof candidate !== 'object' || candidate === null) return { service: null, site: null, epoch: null };
  const { service, site, epoch } = candidate as Record<string, unknown>;
  return {
    service: typeof service === 'string' ? service.slice(0, 253) : null,
    site: typeof site === 'string' ? site.slice(0, 64) : null,
    epoch: typeof epoch === 'number' ? epoch : null,
  };
}
