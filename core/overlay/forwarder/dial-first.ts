import type { Clock } from '../../runtime/clock.ts';
import { MoveError, toMoveError } from '../../runtime/errors.ts';

/** Milliseconds of head start that each address has before the next one is tried beside it. */
const headStartMs = 200;
/** What says more about why nobody can be reached than that nobody answered. */
const saysLittle = new Set(['LINK_UNREACHABLE', 'DEADLINE_EXCEEDED', 'CANCELLED', 'LINK_BROKEN']);

/**
 * Dials addresses in their order, each with a head start before the next (after RFC 8305), so that one that swallows
 * packets costs 200 ms and one that refuses costs nothing. The first that answers is taken, the others are let go.
 * @throws MoveError `ACCESS_POINT_MISSING` without an address; else the most telling error of those tried.
 */
export function dialFirst<Dialled>(parts: {
  addresses: readonly string[];
  dial(address: string, signal: AbortSignal): Promise<Dialled>;
  letGo(dialled: Dialled): void;
  clock: Clock;
}): Promise<Dialled> {
  const { addresses, dial, letGo, clock } = parts;
  return new Promise((resolve, reject) => {
    let error = new MoveError('ACCESS_POINT_MISSING', 'Name at least one access point as host:port.');
    let next = 0;
    let underWay = 0;
    let settled = false;
    const aborts = new Set<AbortController>();
    const begin = () => {
      if (settled) return;
      const address = addresses[next];
      next += 1;
      if (address === undefined) {
        if (underWay > 0) return;
        settled = true;
        reject(error);
        return;
      }
      underWay += 1;
      const abort = new AbortController();
      aborts.add(abort);
      const cancelHeadStart = next < addresses.length ? clock.after(headStartMs, begin) : () => undefined;
      dial(address, abort.signal).then(
        (dialled) => {
          cancelHeadStart();
          aborts.delete(abort);
          if (settled) {
            letGo(dialled);
            return;
          }
          settled = true;
          for (const other of aborts) other.abort();
          resolve(dialled);
        },
        (thrown) => {
          cancelHeadStart();
          aborts.delete(abort);
          underWay -= 1;
          const failure = toMoveError(thrown);
          if (error.code === 'ACCESS_POINT_MISSING' || !saysLittle.has(failure.code)) error = failure;
          begin();
        },
      );
    };
    begin();
  });
}
