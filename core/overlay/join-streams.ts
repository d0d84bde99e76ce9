import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * Passes bytes both ways between two streams until both directions have ended. Half-closes pass through;
 * when one breaks, the other is broken with the same error (a TCP socket by a reset).
 */
export function joinStreams(left: Duplex, right: Duplex): void {
  follow(left, right);
  follow(right, left);
  left.pipe(right);
  right.pipe(left);
}

function follow(leader: Duplex, follower: Duplex): void {
  const onClose = () => {
    if (follower.destroyed) return;
    if (!leader.errored && leader.readableEnded && leader.writableFinished) return;
    if (follower instanceof Socket && follower.remotePort !== undefined) follower.resetAndDestroy();
    else follower.destroy(leader.errored ?? undefined);
  };
  // 'close' always follows, and tells the other side.
  leader.on('error', () => undefined);
  if (leader.closed) process.nextTick(onClose);
  else leader.once('close', onClose);
}
