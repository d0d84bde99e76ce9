import { type Clock, systemClock } from '../runtime/clock.ts';
import type { DoorLimits } from '../runtime/door-limits.ts';
import type { Link, LinkLimits } from '../runtime/link/link.ts';
import type { LinkServer } from '../runtime/link/link-server.ts';
import { listenLinks } from '../runtime/link/link-server.ts';
import type { LinkIdentity } from '../runtime/link/link-tls.ts';
import type { Authorise } from './identity.ts';
import type { OverlayEvents } from './overlay-event.ts';
import { notePeer, noteStranger } from './overlay-event.ts';
import type { StreamRouter } from './stream-router.ts';

export interface RoutedListenerOptions {
  host: string;
  port: number;
  identity: () => LinkIdentity;
  authorise: Authorise;
  router: StreamRouter;
  events: OverlayEvents;
  clock?: Clock;
  limits?: Partial<LinkLimits>;
  /** Who may come in, by address. */
  door?: DoorLimits;
}

/** Listens for links whose streams, calls and notices `router` hands out. @throws MoveError `LISTEN_FAILED`. */
export function listenRouted(options: RoutedListenerOptions): Promise<LinkServer> {
  const { router, events } = options;
  return listenLinks({
    host: options.host,
    port: options.port,
    identity: options.identity,
    verifyPeer: (certificate, from) => void options.authorise(certificate, from),
    handlers: router.handlers,
    ...(options.limits ? { limits: options.limits } : {}),
    ...(options.door ? { door: options.door } : {}),
    ...(options.clock ? { clock: options.clock } : {}),
    onLink(link) {
      const peer = notePeer(router.identityOf(link), link.remoteAddress);
      events({ type: 'link-opened', peer, direction: 'in' });
      const cancelEnd =
        peer.role === 'client' ? endWithCertificate(link, options.clock ?? systemClock) : () => undefined;
      void link.closed.then((error) => {
        cancelEnd();
        events({ type: 'link-closed', peer, direction: 'in', ...(error ? { code: error.code } : {}) });
      });
    },
    onRefused(error, peer) {
      events({
        type: 'refused',
        where: 'listener',
        code: error.code,
        message: error.message,
        peer: noteStranger(peer.certificate, peer.remoteAddress),
      });
    },
  });
}

/** Node's timers hold 31 bits of milliseconds. */
const longestTimerMs = 2 ** 31 - 1;

/** Judges a person's link again in the second after its certificate's last: nobody stays because they were in. */
function endWithCertificate(link: Link, clock: Clock): () => void {
  const leftMs = link.peerCertificate.validToDate.getTime() + 1050 - clock.now();
  return leftMs > longestTimerMs ? () => undefined : clock.after(Math.max(0, leftMs), () => link.recheck());
}
