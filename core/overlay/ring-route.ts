import type { OverlayPeer } from './overlay-peer.ts';

/**
 * Where a stream on the ring's lookup route goes from here: nowhere further, because this is the directory
 * node; or to the first of `next` that can be reached. With `last` they are the directory node and its
 * successors as this node knows them; else each lies closer to the key than this node does and none beyond
 * it (Chord §4.3), so that a route cannot come back.
 */
export type RouteStep = { owner: true } | { owner: false; last: boolean; next: readonly OverlayPeer[] };

/** The overlay node that a stream was passed on to; as a servlet it talks to the site. */
export interface NextNode {
  node: string;
  servlet: boolean;
}

/** Hops that a full-ring stream may take; Chord needs about half of log2 of the nodes. */
export const hopLimit = 32;
