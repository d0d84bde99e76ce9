import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/**
 * Passes bytes both ways between two streams until both directions have ended. Half-closes pass through;
 * when one breaks, the other is broken with the same error (a TCP socket by a reset).
 */
export function joinStreams(left: Duplex, right: Duplex): void {
  follow(left, right);
  follow(right, left);
  gatherWrites(left, right);
  gatherWrites(right, left);
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

/** Pieces below this leave at once: somebody may wait for them. */
const bulkPiece = 16_000;

/** Large pieces that arrive in one turn of the event loop reach a socket in one write. */
function gatherWrites(source: Duplex, target: Duplex): void {
  if (!(target instanceof Socket)) return;
  let gathering = false;
  source.on('data', (piece: Buffer) => {
    if (gathering || piece.length < bulkPiece) return;
    gathering = true;
    target.cork();
    setImmediate(() => {
      gathering = false;
      target.uncork();
    });
  });
}
