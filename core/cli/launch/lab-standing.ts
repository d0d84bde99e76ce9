import { toMoveError } from '../../runtime/errors.ts';
import type { CommandContext } from '../command-context.ts';
import { withControl } from '../control-link.ts';

/** How far the lab is when there is nothing more to wait for. */
export interface LabStanding {
  /** Whether every host and every service answers. */
  ready: boolean;
  /** The same as a sentence, which says what does not. */
  text: string;
}

/**
 * Waits until the control plane has reached the hosts and started the services, or has found that it cannot.
 * Never throws: what keeps it from being ready is the answer.
 */
export async function labStanding(context: CommandContext): Promise<LabStanding> {
  try {
    const { state } = await withControl({ ...context, mayStart: false }, (link) => link.ready({ lab: true }));
    const info = state.console.console;
    const away = Object.values(state.services).filter((service) => service.state === 'down');
    if (away.length > 0)
      return { ready: false, text: away.map((service) => `${service.id} is down.`).join(' ') };
    return { ready: info?.phase === 'ready', text: info?.phaseText ?? '' };
  } catch (thrown) {
    return { ready: false, text: toMoveError(thrown).message };
  }
}
