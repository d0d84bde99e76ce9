import type { ConsoleState } from '../contract/state.ts';
import { MoveError } from '../runtime/errors.ts';
import { type ControlContext, serviceOf } from './control-context.ts';
import { ownSites } from './holdings.ts';
import type { Moves } from './moves-control.ts';

/** A flood of up to a minute, and what its alarm takes to clear. */
const calmLimitMs = 90_000;
/** Longer than an ordinary move with its own limits can take. */
const moveLimitMs = 120_000;
const onlyCopyLimitMs = 20_000;
const askSitesEveryMs = 250;
const askDeadlineMs = 5_000;

type Surroundings = Pick<ControlContext, 'store' | 'holdings' | 'clock' | 'agent' | 'services'>;

/**
 * Brings about what a drill begins with: no flood runs and no site is attacked, the service runs at its home,
 * and no other copy of it is left. A service that is elsewhere is brought home by an ordinary move, journalled
 * as every other; `onTheWay` hears where from, or null. Answers what has to be said in the report.
 * @throws MoveError `DRILL_STOPPED` when it does not come about in time; what `Moves.start` throws; the reason
 * of `signal`, after which nothing is begun any more.
 */
export async function beginAtHome(
  context: Surroundings,
  moves: Pick<Moves, 'start' | 'wait' | 'cancel'>,
  service: string,
  signal: AbortSignal,
  onTheWay: (from: string | null) => void,
): Promise<readonly string[]> {
  const notes: string[] = [];
  await untilCalm(context, service, undefined, signal);
  const { site, homeSite } = serviceOf(context, service).state;
  onTheWay(site === homeSite ? null : site);
  if (site !== homeSite) {
    const { id } = moves.start({
      service,
      to: homeSite,
      requestedBy: 'drill',
      reason: 'a drill begins at home',
    });
    const move = await moves.wait(id, moveLimitMs, signal);
    signal.throwIfAborted();
    if (move.state !== 'done') {
      if (move.endedAt === null && move.state !== 'committed') moves.cancel(id);
      throw new MoveError(
        'DRILL_STOPPED',
        `The drill did not begin, because ${service} could not be brought home from ${site}: ${move.error?.message ?? `its move is ${move.state}.`}`,
        { move: id, state: move.state },
      );
    }
    notes.push(`The service was brought home from ${site} first.`);
  }
  await untilCalm(context, service, homeSite, signal);
  const silent = await untilOnlyCopy(context, service, homeSite, signal);
  if (silent.length > 0)
    notes.push(
      `Whether a copy was left at ${silent.join(', ')} could not be seen: no answer came from there.`,
    );
  return notes;
}

/** What keeps a drill from beginning, as the second half of a sentence; null when nothing does. */
function unrest(state: ConsoleState, service: string, at: string | undefined): string | null {
  const flood = Object.values(state.floods).find((one) => one.state === 'running');
  if (flood) return `a flood on ${flood.site} still runs`;
  const attacked = Object.values(state.sites).find((one) => one.attacked);
  if (attacked) return `${attacked.id} is still attacked`;
  const flooded = Object.values(state.nodes).find((one) => one.flooded);
  if (flooded) return `${flooded.id} has not come back to the ring after a flood`;
  const known = state.services[service];
  if (known?.state !== 'running') return `${service} is ${known?.state ?? 'unknown'}`;
  return at !== undefined && known.site !== at ? `${service} is at ${known.site} and not at ${at}` : null;
}

function untilCalm(
  { store, clock }: Surroundings,
  service: string,
  at: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let settled = false;
    let stopListening: () => void = () => undefined;
    const finish = (settle: () => void) => {
      settled = true;
      stopListening();
      cancel();
      signal.removeEventListener('abort', onAbort);
      settle();
    };
    const onAbort = () => finish(() => reject(signal.reason));
    const look = () => {
      if (!settled && unrest(store.state, service, at) === null) finish(resolve);
    };
    const cancel = clock.after(calmLimitMs, () =>
      finish(() =>
        reject(
          new MoveError(
            'DRILL_STOPPED',
            `The drill did not begin, because after ${calmLimitMs / 1000} s ${unrest(store.state, service, at)}. Stop everything or wait, then run it again.`,
          ),
        ),
      ),
    );
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    if (settled) return;
    stopListening = store.listen(look);
    if (settled) stopListening();
  });
}

/** Waits until the sites know of one copy, the one that runs at home; answers the sites that said nothing. */
async function untilOnlyCopy(
  context: Surroundings,
  service: string,
  home: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { clock, store } = context;
  const until = clock.monotonic() + onlyCopyLimitMs;
  for (;;) {
    const silent: string[] = [];
    const copies = await Promise.all(
      ownSites(store.state).map(async ({ id: site, reach }) => {
        try {
          if (reach !== 'up') throw new MoveError('AGENT_UNREACHABLE', `${site} does not answer.`);
          const agent = await context.agent(site);
          const { pods } = await agent.call('site.status', {}, { deadlineMs: askDeadlineMs });
          return pods.filter((pod) => pod.service === service).map(({ state }) => ({ site, state }));
        } catch {
          silent.push(site);
          return [];
        }
      }),
    );
    signal.throwIfAborted();
    const found = copies.flat();
    const [only] = found;
    if (found.length === 1 && only?.site === home && only.state === 'running') return silent.sort();
    if (clock.monotonic() >= until)
      throw new MoveError(
        'DRILL_STOPPED',
        `The drill did not begin, because ${service} does not run at ${home} alone: ${found.map((copy) => `${copy.state} at ${copy.site}`).join(', ') || 'no site has it'}. Run "move status" and mend that first.`,
        { copies: found },
      );
    await new Promise<void>((resolve) => clock.after(askSitesEveryMs, resolve));
  }
}
