import { randomUUID } from 'node:crypto';
import type { Flood } from '../contract/domain.ts';
import { drillDefaults } from '../drills/drill-plan.ts';
import type { Load } from '../drills/drill-ports.ts';
import { refuseEarly } from '../drills/target-guard.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { type ControlContext, requireNotHalted, serviceOf } from './control-context.ts';
import { requireOwnSite } from './holdings.ts';
import { publicAddress } from './host-plan.ts';
import { armRemoteLoad } from './remote-load.ts';

const { mbitEach } = drillDefaults['udp-flood'];
const floodPort = 80;

/** The bounded demo flood: bots against the primary link of the site where a service lives. */
export class Floods {
  readonly #context: ControlContext;
  readonly #running = new Map<string, Load[]>();

  constructor(context: ControlContext) {
    this.#context = context;
  }

  /**
   * Starts a flood of `seconds`. A refusal is journalled.
   * @throws MoveError `FLOOD_REFUSED` for any target that is not a site of this lab, `FLOOD_RUNNING`, `HALTED`,
   * `SITE_FOREIGN`.
   */
  async start(order: {
    service?: string | undefined;
    target?: string | undefined;
    seconds: number;
  }): Promise<string> {
    const { manifest, holdings, store, recorder, fleet } = this.#context;
    requireNotHalted(this.#context);
    if (this.#running.size > 0)
      throw new MoveError('FLOOD_RUNNING', 'A flood runs already. Wait for its end or stop everything.');
    const address = order.target ?? this.#addressOf(order.service);
    const request = {
      purpose: 'udp-flood',
      address,
      port: floodPort,
      seconds: order.seconds,
      mbit: mbitEach,
    };
    try {
      refuseEarly(request, manifest);
    } catch (thrown) {
      const error = toMoveError(thrown);
      recorder.record({
        kind: 'observation',
        type: 'flood.refused',
        tone: 'attack',
        text: `A flood was refused: ${error.message}`,
        data: { code: error.code, target: address },
      });
      throw error;
    }
    const site = Object.values(manifest.hosts).find((host) =>
      Object.values(host.addresses).includes(address),
    );
    if (site) requireOwnSite(holdings, site.name);
    const bots = Object.values(manifest.hosts).filter((host) => host.role === 'bot');
    const id = randomUUID();
    const loads: Load[] = [];
    this.#running.set(id, loads);
    try {
      const arming = await Promise.allSettled(
        bots.map((bot) => armRemoteLoad(fleet, bot.name, 'flood', request)),
      );
      for (const outcome of arming) if (outcome.status === 'fulfilled') loads.push(outcome.value);
      for (const outcome of arming) if (outcome.status === 'rejected') throw outcome.reason;
      // Everything may have been stopped while the programs started.
      requireNotHalted(this.#context);
      for (const load of loads) load.begin();
      const startedAt = Math.min(...(await Promise.all(loads.map((load) => load.firstPacketAt))));
      const flood: Flood = {
        id,
        site: site?.name ?? address,
        bots: bots.map((bot) => bot.name),
        offeredMbit: mbitEach * bots.length,
        startedAt,
        endsAt: startedAt + order.seconds * 1000,
        state: 'running',
      };
      recorder.record({
        kind: 'intent',
        type: 'flood.started',
        tone: 'attack',
        text: `Demo flood: ${bots.length} bots send ${flood.offeredMbit} Mbit/s to ${flood.site} for ${order.seconds} s.`,
        subject: flood.site,
        changes: [{ op: 'upsert', collection: 'floods', id, value: flood }],
      });
      void Promise.allSettled(loads.map((load) => load.finished)).then(() => this.#over(flood));
      return id;
    } catch (thrown) {
      this.#running.delete(id);
      await Promise.allSettled(loads.map((load) => load.stop()));
      throw thrown;
    } finally {
      if (store.state.console.console?.halted) await this.stopAll();
    }
  }

  /** Stops every flood; returns how many there were. */
  async stopAll(): Promise<number> {
    const running = [...this.#running.values()];
    await Promise.allSettled(running.flat().map((load) => load.stop()));
    return running.length;
  }

  #addressOf(service: string | undefined): string {
    const { manifest } = this.#context;
    const name = service ?? manifest.services[0]?.hostname ?? '';
    const host = manifest.hosts[serviceOf(this.#context, name).state.site];
    if (!host) throw new MoveError('SITE_UNKNOWN', `${name} is at no site of this lab.`);
    return publicAddress(host);
  }

  #over(flood: Flood): void {
    if (!this.#running.delete(flood.id)) return;
    this.#context.recorder.record({
      kind: 'observation',
      type: 'flood.over',
      tone: 'plain',
      text: `The demo flood on ${flood.site} is over.`,
      subject: flood.site,
      changes: [{ op: 'remove', collection: 'floods', id: flood.id }],
    });
  }
}
