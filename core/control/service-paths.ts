import type { CheckedInputOf, OutputOf } from '../contract/contract.ts';
import type { ServicePath } from '../contract/domain.ts';
import { defaultServicePath } from '../contract/domain.ts';
import { pathChoice, pathChoices } from '../contract/path-secrecy.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import type { ControlContext } from './control-context.ts';

const toldDeadlineMs = 5_000;

type Parts = Pick<ControlContext, 'store' | 'recorder' | 'clock' | 'log' | 'agent'>;

/** The path policies of all services: journalled here, followed by every access point. */
export class ServicePaths {
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** What access points are told, by service. */
  all(): Record<string, ServicePath> {
    return pathsOf(this.#parts.store);
  }

  /**
   * Sets how sessions of a service that begin from now on travel, and tells every overlay node at once; one
   * that is away gets it with its configuration when it is back. @throws MoveError `SERVICE_UNKNOWN`.
   */
  async set(
    { service, policy, nearest }: CheckedInputOf<'service.path'>,
    actor: string,
  ): Promise<OutputOf<'service.path'>> {
    const { store, recorder, clock } = this.#parts;
    this.#mustExist(service);
    const begun = clock.monotonic();
    const path = { policy, nearest };
    recorder.record({
      kind: 'intent',
      type: 'service.path',
      tone: 'decision',
      text: `Path of ${service}: ${pathInWords(path)}.`,
      subject: service,
      actor,
      changes: [{ op: 'patch', collection: 'services', id: service, value: { path } }],
    });
    const paths = this.all();
    const told = await Promise.allSettled(
      Object.keys(store.state.nodes).map(async (node) => {
        const agent = await this.#parts.agent(node);
        await agent.call('overlay.paths', { paths }, { deadlineMs: toldDeadlineMs });
      }),
    );
    for (const outcome of told)
      if (outcome.status === 'rejected')
        this.#parts.log(`telling the path of ${service}: ${toMoveError(outcome.reason).message}`);
    return {
      service,
      path,
      accessPointsTold: told.filter(({ status }) => status === 'fulfilled').length,
      toldWithinMs: Math.round(clock.monotonic() - begun),
      secrecy: pathChoice(path, this.#nodes()),
    };
  }

  /** The policies there are, and what each keeps secret with `nodes` overlay nodes. @throws MoveError */
  list({ service, nodes = this.#nodes() }: CheckedInputOf<'service.paths'>): OutputOf<'service.paths'> {
    const { path, route } = this.#mustExist(service);
    return { service, path, route, nodes, choices: pathChoices(path, nodes) };
  }

  #mustExist(service: string) {
    const known = this.#parts.store.state.services[service];
    if (!known) throw new MoveError('SERVICE_UNKNOWN', `There is no service ${service}.`, { service });
    return known;
  }

  #nodes(): number {
    return Object.values(this.#parts.store.state.nodes).filter(({ reach }) => reach === 'up').length;
  }
}

/** The path policies of the services in a state. */
export function pathsOf(store: Parts['store']): Record<string, ServicePath> {
  return Object.fromEntries(Object.values(store.state.services).map(({ id, path }) => [id, path]));
}

/** Gives services of a journal from before there were path policies what they had then. */
export function completePaths(store: Parts['store']): void {
  store.change(
    Object.values(store.state.services).map(({ id, path = defaultServicePath, route = [] }) => ({
      op: 'patch',
      collection: 'services',
      id,
      value: { path, route },
    })),
  );
}

function pathInWords({ policy, nearest }: ServicePath): string {
  if (policy === 'one-hop') return 'one hop, from the access point to the site';
  if (policy === 'full-ring') return 'the full ring, to the directory node and a servlet that it draws';
  return nearest === 1 ? 'two hops, a random servlet' : `two hops, the nearest of ${nearest} random servlets`;
}
