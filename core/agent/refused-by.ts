import type { OverlayEvent } from '../overlay/overlay-event.ts';
import { MoveError } from '../runtime/errors.ts';
import type { RoleContext } from './role.ts';

/** Tells the journal of a refusal among the overlay's events. */
export function refusedBy(event: OverlayEvent, context: RoleContext): void {
  if (event.type !== 'refused') return;
  const who = event.peer.name
    ? `${event.peer.role} ${event.peer.name}`
    : `somebody at ${event.peer.remoteAddress ?? 'an unknown address'}${event.peer.serial ? ` (certificate ${event.peer.serial})` : ''}`;
  context.refused(
    new MoveError(event.code, event.message),
    event.service ? `${who} for ${event.service}` : who,
  );
}
