import { request } from 'node:http';
import type { ServiceDescription } from '../contract/agent-contract.ts';
import type { DecoyView } from '../contract/decoy-view.ts';
import type { Service } from '../contract/domain.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { type ControlContext, serviceOf } from './control-context.ts';
import { publicAddress } from './host-plan.ts';
import { responseOf } from './situation.ts';

const lookEveryMs = 2_000;
const callDeadlineMs = 25_000;
/** A site that could not begin a decoy is asked again after so long. */
const againAfterMs = 30_000;
const askLimitMs = 10_000;
const pageLimitBytes = 256 << 10;
const excerptLength = 240;

/**
 * Keeps a decoy at the old address of each service that is away and shall have one, and none elsewhere: what it wants is
 * compared with what the sites say, so that a restart of either side changes nothing.
 */
export class DecoyKeeper {
  readonly #context: ControlContext;
  readonly #notBefore = new Map<string, number>();
  readonly #busy = new Set<string>();
  #cancel: () => void = () => undefined;

  constructor(context: ControlContext) {
    this.#context = context;
  }

  start(): void {
    this.#cancel();
    this.#cancel = this.#context.clock.after(lookEveryMs, () => {
      for (const service of Object.values(this.#context.store.state.services)) void this.#look(service);
      this.start();
    });
  }

  stop(): void {
    this.#cancel();
  }

  /**
   * Asks the old address from outside its site, and says beside it what is true.
   * @throws MoveError `SERVICE_UNKNOWN`, `DECOY_NOT_PUBLIC` for a service that has no public address.
   */
  async show(id: string): Promise<DecoyView> {
    const { store, manifest, agent, clock } = this.#context;
    const { description, state: service } = serviceOf(this.#context, id);
    if (!description.direct || description.probe.kind !== 'http')
      throw new MoveError('DECOY_NOT_PUBLIC', `${id} answers no strangers, so there is nothing to see.`);
    const home = manifest.hosts[description.homeSite];
    if (!home) throw new MoveError('SITE_UNKNOWN', `There is no hosting site ${description.homeSite}.`);
    const address = publicAddress(home);
    const [seen, decoy] = await Promise.all([
      this.#ask(address, description),
      agent(description.homeSite)
        .then((site) => site.call('site.status', {}, { deadlineMs: 5_000 }))
        .then(({ decoys }) => decoys?.find((one) => one.service === id) ?? null)
        .catch(() => null),
    ]);
    const isHome = service.site === service.homeSite;
    const isDecoy = decoy !== null || (store.state.sites[service.homeSite]?.decoys?.includes(id) ?? false);
    return {
      service: id,
      address: `${address}:${description.port}`,
      seen: { at: clock.now(), ...seen },
      truth: {
        site: service.site,
        atHome: isHome,
        state: service.state,
        answeredBy: isHome ? 'the service' : isDecoy ? 'a decoy' : 'nobody',
      },
      decoy: decoy && {
        since: decoy.since,
        takenAt: decoy.takenAt,
        requests: decoy.requests,
        turnedAway: decoy.turnedAway,
        connections: decoy.connections,
        bytes: decoy.bytes,
      },
    };
  }

  async #look(service: Service): Promise<void> {
    const { store, clock, services, agent, recorder, log } = this.#context;
    const { id, homeSite } = service;
    const description = services.get(id);
    const home = store.state.sites[homeSite];
    if (!description || home?.reach !== 'up' || this.#busy.has(id)) return;
    const isPublic = description.direct && description.probe.kind === 'http';
    const isAway = service.site !== homeSite && service.state === 'running';
    const wanted = isPublic && isAway && responseOf(service).decoy;
    const present = home.decoys?.includes(id) ?? false;
    // A service on its way home ends its decoy itself, when it opens there.
    if (wanted === present || (!wanted && service.state === 'moving')) return;
    if (clock.now() < (this.#notBefore.get(id) ?? 0)) return;
    this.#busy.add(id);
    try {
      const site = await agent(homeSite);
      await site.call(
        'site.decoy',
        { service: id, port: description.port, on: wanted },
        { deadlineMs: callDeadlineMs },
      );
      const decoys = new Set(store.state.sites[homeSite]?.decoys ?? []);
      if (wanted) decoys.add(id);
      else decoys.delete(id);
      recorder.record({
        kind: 'observation',
        type: wanted ? 'decoy.begun' : 'decoy.ended',
        tone: 'plain',
        text: wanted
          ? `A decoy answers strangers for ${id} at its old address at ${homeSite}.`
          : `The decoy of ${id} at ${homeSite} has ended.`,
        subject: id,
        changes: [{ op: 'patch', collection: 'sites', id: homeSite, value: { decoys: [...decoys].sort() } }],
      });
    } catch (thrown) {
      this.#notBefore.set(id, clock.now() + againAfterMs);
      log(`the decoy of ${id} at ${homeSite}: ${toMoveError(thrown).message}`);
    } finally {
      this.#busy.delete(id);
    }
  }

  /** The first page as somebody who knows nothing gets it: asked by the host by which the fleet is entered. */
  async #ask(
    address: string,
    { hostname, port }: ServiceDescription,
  ): Promise<Omit<DecoyView['seen'], 'at'>> {
    const { fleet, clock } = this.#context;
    const nothing = { answered: false, status: null, server: null, bytes: 0, excerpt: '' };
    const begun = clock.monotonic();
    const took = () => Math.round(clock.monotonic() - begun);
    try {
      const entry = fleet.hosts().find(({ reach }) => reach.kind === 'entry');
      if (!entry) throw new MoveError('HOST_UNKNOWN', 'The fleet has no host by which it is entered.');
      const connection = await fleet.connection(entry.name);
      const socket = await connection.forwardTcp(address, port);
      return await new Promise((resolve, reject) => {
        const asked = request({
          createConnection: () => socket,
          path: '/',
          headers: { Host: hostname, Connection: 'close' },
          signal: AbortSignal.timeout(askLimitMs),
        });
        asked.on('error', reject);
        asked.on('response', (answer) => {
          const chunks: Buffer[] = [];
          let bytes = 0;
          answer.on('data', (chunk: Buffer) => {
            bytes += chunk.length;
            if (bytes <= pageLimitBytes) chunks.push(chunk);
            else asked.destroy(new MoveError('PAGE_TOO_LARGE', 'The page is larger than what is looked at.'));
          });
          answer.on('error', reject);
          answer.on('end', () =>
            resolve({
              answered: true,
              status: answer.statusCode ?? null,
              server: answer.headers.server?.toString() ?? null,
              bytes,
              milliseconds: took(),
              excerpt: textOf(Buffer.concat(chunks).toString('utf8')),
              fault: null,
            }),
          );
        });
        asked.end();
      });
    } catch (thrown) {
      return { ...nothing, milliseconds: took(), fault: toMoveError(thrown).message };
    }
  }
}

/** The words of a page, without its markup, scripts and styles. */
function textOf(html: string): string {
  return html
    .replaceAll(/<(script|style)\b[\s\S]*?<\/\1\s*>/gi, ' ')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim()
    .slice(0, excerptLength);
}
