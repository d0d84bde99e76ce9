import type { LinkTarget } from './link-pool.ts';

/** An overlay node as its fellows know it. */
export interface OverlayPeer {
  name: string;
  /** `host:port` */
  address: string;
}

/** How a link to another overlay node is asked for. */
export const targetOf = (peer: OverlayPeer): LinkTarget => ({
  address: peer.address,
  role: 'overlay',
  name: peer.name,
});
