import type { X509Certificate } from 'node:crypto';
import type { PathPolicy } from '../contract/domain.ts';
import type { OverlayIdentity } from './identity.ts';

/** Who an event is about, as far as it is known. */
export interface PeerNote {
  name?: string;
  role?: string;
  serial?: string;
  remoteAddress?: string;
}

/** What the overlay tells the journal and the screens. */
export type OverlayEvent =
  | {
      type: 'refused';
      where: 'listener' | 'stream' | 'call' | 'access-point' | 'servlet' | 'ring-hop' | 'site-door' | 'door';
      code: string;
      message: string;
      peer: PeerNote;
      service?: string;
    }
  | { type: 'link-opened'; peer: PeerNote; direction: 'in' | 'out' }
  | { type: 'link-closed'; peer: PeerNote; direction: 'in' | 'out'; code?: string }
  | {
      type: 'session-opened';
      service: string;
      client: string;
      site: string;
      path: PathPolicy;
      /** The overlay node that it goes to from the access point. */
      next?: string;
      epoch: number;
    }
  | { type: 'session-parked'; service: string; client: string; code?: string }
  | {
      type: 'session-resumed';
      service: string;
      client: string;
      site: string;
      path: PathPolicy;
      next?: string;
      epoch: number;
      parkedMs: number;
    }
  | {
      type: 'session-closed';
      service: string;
      client: string;
      code?: string;
      upBytes: number;
      downBytes: number;
      resumes: number;
      parkedMs: number;
      longestStallMs: number;
    };

export type OverlayEvents = (event: OverlayEvent) => void;

/** A peer as events name it. */
export function notePeer(identity: OverlayIdentity | undefined, remoteAddress: string | undefined): PeerNote {
  return {
    ...(identity ? { name: identity.name, role: identity.role, serial: identity.serial } : {}),
    ...(remoteAddress === undefined ? {} : { remoteAddress }),
  };
}

/** What can be said of a peer whose certificate was not accepted: nothing in it is believed but its serial. */
export function noteStranger(
  certificate: X509Certificate | undefined,
  remoteAddress: string | undefined,
): PeerNote {
  return {
    ...(certificate ? { serial: certificate.serialNumber } : {}),
    ...(remoteAddress === undefined ? {} : { remoteAddress }),
  };
}
