import type { ServiceDescription } from '../contract/agent-contract.ts';
import { defaultServicePath, isUnderWay, type Service } from '../contract/domain.ts';
import type { ServiceDefinition, ServiceFile } from '../contract/service-file.ts';
import type { Change } from '../contract/state.ts';
import { labServicesMost } from '../lab/spec.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { type ControlContext, serviceOf } from './control-context.ts';
import { findPod } from './find-pod.ts';
import { ownSites, requireOwnService, requireOwnSite } from './holdings.ts';
import { describeLabService } from './lab-service.ts';
import { layOutSample } from './lay-out-sample.ts';
import { LostServices } from './lost-services.ts';
import type { Seating } from './seating.ts';
import { describeServiceFile, readServiceFile } from './service-file.ts';
import type { ServiceKeys } from './service-keys.ts';

const startDeadlineMs = 60_000;
const stopDeadlineMs = 20_000;
const findAgainMs = 1_000;
const lookForLostMs = 1_000;
const reviveAgainMs = { first: 5_000, longest: 60_000 };
/** The third number of a pod's virtual addresses is one byte. */
const highestNumber = 255;

/**
 * The services of a fleet: those that its lab brings along, and those that somebody added from a file, which the
 * journal remembers. Starts each at its home unless it lives somewhere already.
 */
export class Services {
  readonly #context: ControlContext;
  readonly #descriptions: Map<string, ServiceDescription>;
  readonly #keys: ServiceKeys;
  readonly #seating: Seating;
  readonly #certifySites: () => Promise<void>;
  readonly #busy = new Set<string>();
  readonly #waits = new Set<() => void>();
  readonly #lost = new LostServices();
  #stopping = false;

  /** `descriptions` is what the context shows as its services; it is filled and changed here. */
  constructor(
    context: ControlContext,
    descriptions: Map<string, ServiceDescription>,
    parts: { keys: ServiceKeys; seating: Seating; certifySites: () => Promise<void> },
  ) {
    this.#context = context;
    this.#descriptions = descriptions;
    this.#keys = parts.keys;
    this.#seating = parts.seating;
    this.#certifySites = parts.certifySites;
    context.manifest.services.forEach((service, number) => {
      descriptions.set(service.hostname, describeLabService(service, number));
    });
    for (const definition of Object.values(context.store.state.definitions))
      if (definition.removedAt === null && !descriptions.has(definition.id))
        descriptions.set(definition.id, describeServiceFile(definition.file, definition.number));
  }

  /** Starts every service that does not run yet; resolves when each of them answers or has failed. */
  async start(): Promise<void> {
    const { store, manifest } = this.#context;
    const gone = Object.keys(store.state.services).filter((id) => !this.#descriptions.has(id));
    store.change(gone.map((id) => ({ op: 'remove', collection: 'services', id })));
    for (const description of [...this.#descriptions.values()]) {
      if (manifest.hosts[description.homeSite]?.role === 'site') await this.#ensure(description);
      else this.#sayHomeless(description);
      this.#mustGoOn();
    }
    for (const description of this.#descriptions.values())
      if (store.state.services[description.hostname]) this.#seating.seat(description);
    this.#lookForLost();
  }

  stop(): void {
    this.#stopping = true;
    for (const cancel of this.#waits) cancel();
  }

  /**
   * Reads a service file.
   * @throws MoveError `SERVICE_FILE_INVALID` with every fault's line, `SITE_FOREIGN`, `SERVICE_FOREIGN`.
   */
  check(text: string, source: string): ServiceFile {
    const { holdings, manifest, store } = this.#context;
    const file = readServiceFile(text, source, {
      sites: new Set(ownSites(store.state).map(({ id }) => id)),
      siteHolder: holdings.siteHolder,
      services: [...this.#descriptions.values()],
    });
    requireOwnService(holdings, file.hostname);
    requireOwnSite(holdings, file.homeSite);
    if (manifest.isShare && file.path)
      throw new MoveError(
        'OPERATOR_ONLY',
        `How sessions travel is set at the overlay's nodes, which are its operator's. Leave "path" out of ${source}, and ask there.`,
      );
    return file;
  }

  /**
   * Adds a service from its file and starts it at home. What did not start is not kept.
   * @throws MoveError `SERVICE_FILE_INVALID`, `SERVICES_TOO_MANY`, or why it did not start.
   */
  async add(text: string, source: string, actor: string): Promise<Service> {
    const { store, recorder, clock } = this.#context;
    const file = this.check(text, source);
    const id = file.hostname;
    const definition: ServiceDefinition = {
      id,
      source,
      file,
      number: this.#freeNumber(),
      addedAt: clock.now(),
      removedAt: null,
      lastEpoch: store.state.definitions[id]?.lastEpoch ?? 0,
    };
    const description = describeServiceFile(file, definition.number);
    this.#descriptions.set(id, description);
    recorder.record({
      kind: 'intent',
      type: 'service.added',
      tone: 'plain',
      text: `${id} is added from ${source}, at home at ${file.homeSite}.`,
      subject: id,
      actor,
      changes: [{ op: 'upsert', collection: 'definitions', id, value: definition }],
    });
    this.#busy.add(id);
    try {
      await Promise.all([layOutSample(this.#context.fleet, file), this.#certifySites()]);
      const failure = await this.#ensure(description);
      if (failure) throw failure;
    } catch (thrown) {
      this.#mustGoOn();
      await this.#undoStart(description);
      this.#forget(description, `${id} was not kept, because it did not start.`, actor);
      throw thrown;
    } finally {
      this.#busy.delete(id);
    }
    this.#seating.seat(description);
    return serviceOf(this.#context, id).state;
  }

  /**
   * Stops a service that was added, wherever it is, and forgets it.
   * @throws MoveError `SERVICE_UNKNOWN`, `SERVICE_OF_THE_LAB`, `SERVICE_BUSY`, `AGENT_UNREACHABLE` and others of a
   * site that would have to stop it: then it stays as it was.
   */
  async remove(id: string, actor: string): Promise<void> {
    const { store, recorder, manifest } = this.#context;
    const { description, state } = serviceOf(this.#context, id);
    if (!store.state.definitions[id] || store.state.definitions[id].removedAt !== null)
      throw new MoveError(
        'SERVICE_OF_THE_LAB',
        `${id} comes with the lab. Take it out of the lab's specification to be without it.`,
        { service: id },
      );
    const underWay =
      this.#isMoving(id) ||
      Object.values(store.state.moves).some((move) => move.service === id && move.state === 'queued');
    if (underWay || this.#busy.has(id))
      throw new MoveError(
        'SERVICE_BUSY',
        `${id} is ${underWay ? 'moving' : 'being started or stopped'} just now. Remove it when that has ended.`,
        { state: state.state },
      );
    this.#busy.add(id);
    try {
      recorder.record({
        kind: 'intent',
        type: 'service.removing',
        tone: 'plain',
        text: `${id} is stopped at ${state.site} and removed.`,
        subject: id,
        actor,
        changes: [{ op: 'patch', collection: 'services', id, value: { state: 'down' } }],
      });
      this.#seating.clear(id);
      // First where it runs, then the storage's end of its lifeline.
      for (const site of new Set([state.site, description.homeSite])) {
        if (manifest.hosts[site]?.role !== 'site') continue;
        const agent = await this.#context.agent(site);
        await agent.call('site.stop', { service: id }, { deadlineMs: stopDeadlineMs });
      }
      this.#forget(description, `${id} is removed.`, actor);
    } catch (thrown) {
      this.#mustGoOn();
      this.#lookAgain(description);
      throw thrown;
    } finally {
      this.#busy.delete(id);
    }
  }

  /** A start may have failed after its pod had come up, as when no overlay node took the announcement. */
  async #undoStart({ hostname, homeSite }: ServiceDescription): Promise<void> {
    try {
      const agent = await this.#context.agent(homeSite);
      await agent.call('site.stop', { service: hostname }, { deadlineMs: stopDeadlineMs });
    } catch (thrown) {
      this.#context.log(`${homeSite} keeps what it has of ${hostname}: ${toMoveError(thrown).message}`);
    }
  }

  #freeNumber(): number {
    const taken = new Set([...this.#descriptions.values()].map(({ number }) => number));
    for (let number = labServicesMost; number <= highestNumber; number += 1)
      if (!taken.has(number)) return number;
    throw new MoveError(
      'SERVICES_TOO_MANY',
      `There are ${highestNumber + 1 - labServicesMost} added services, which is the most. Remove one first.`,
    );
  }

  #forget(description: ServiceDescription, text: string, actor: string): void {
    const { store, recorder, clock } = this.#context;
    const id = description.hostname;
    this.#descriptions.delete(id);
    const changes: Change[] = [
      { op: 'remove', collection: 'services', id },
      { op: 'remove', collection: 'lifelines', id },
      { op: 'remove', collection: 'spares', id },
      {
        op: 'patch',
        collection: 'definitions',
        id,
        value: { removedAt: clock.now(), lastEpoch: store.state.services[id]?.epoch ?? 0 },
      },
      ...Object.values(store.state.proposals)
        .filter((proposal) => proposal.service === id && proposal.state === 'waiting')
        .map(
          (proposal) =>
            ({
              op: 'patch',
              collection: 'proposals',
              id: proposal.id,
              value: { state: 'withdrawn', decidedBy: 'the service was removed', decidedAt: clock.now() },
            }) as const,
        ),
    ];
    recorder.record({
      kind: 'observation',
      type: 'service.removed',
      tone: 'plain',
      text,
      subject: id,
      actor,
      changes,
    });
  }

  /** Starts the service at home unless it lives somewhere already; answers why it does not run, or null. */
  async #ensure(description: ServiceDescription): Promise<MoveError | null> {
    const { store, recorder } = this.#context;
    const id = description.hostname;
    const known = store.state.services[id];
    // A move may end, or be taken back, while the sites are asked: what they say then is of before.
    const movedBefore = this.#isMoving(id);
    const { found, asleep, silent } = await findPod(this.#context, id);
    const moving = movedBefore || this.#isMoving(id);
    if (known && (found?.site === known.site || moving)) {
      if (found && !moving)
        store.change([{ op: 'patch', collection: 'services', id, value: { state: 'running' } }]);
      // Where a move that an earlier control plane began leaves the service, only its end tells.
      if (!found) this.#lookAgain(description);
      return null;
    }
    if (known && !found && silent.includes(known.site)) {
      this.#waitForSite(description, known);
      return null;
    }
    // A copy that a move left frozen is the service, until that move has thawed or killed it.
    if (known && !found && asleep.length > 0) {
      this.#lookAgain(description);
      return null;
    }
    const definition = store.state.definitions[id];
    const epoch =
      Math.max(found?.epoch ?? 0, known?.epoch ?? 0, definition?.lastEpoch ?? 0) + (found ? 0 : 1);
    const site = found?.site ?? description.homeSite;
    const service: Service = {
      id,
      site,
      homeSite: description.homeSite,
      epoch,
      state: found ? 'running' : 'starting',
      policy: known?.policy ?? definition?.file.policy ?? 'approve',
      ...(known?.response ? { response: known.response } : {}),
      ...(known?.capacity ? { capacity: known.capacity } : {}),
      staysBehind: description.storage
        ? [`${description.storage.mountPoint}, reached over the lifeline`]
        : [],
      sessions: 0,
      directory: null,
      accessPoint: null,
      servlet: null,
      path: known?.path ?? definition?.file.path ?? defaultServicePath,
      route: [],
      usage: known?.usage ?? null,
    };
    recorder.record({
      kind: 'intent',
      type: 'service.starting',
      tone: 'plain',
      text: found ? `${id} is found at ${site}.` : `${id} starts at ${site}.`,
      subject: id,
      changes: [{ op: 'upsert', collection: 'services', id, value: service }],
    });
    if (found) return null;
    try {
      const agent = await this.#context.agent(site);
      // What an earlier control plane left there, of which this one knows nothing, goes first.
      if (!known) await agent.call('site.stop', { service: id }, { deadlineMs: stopDeadlineMs });
      const delegation = await this.#keys.delegate(id, site, epoch);
      await agent.call('site.start', { service: description, delegation }, { deadlineMs: startDeadlineMs });
      this.#mustGoOn();
      recorder.record({
        kind: 'observation',
        type: 'service.running',
        tone: 'good',
        text: `${id} answers at ${site}.`,
        subject: id,
        changes: [{ op: 'patch', collection: 'services', id, value: { state: 'running' } }],
      });
      return null;
    } catch (thrown) {
      this.#mustGoOn();
      const error = toMoveError(thrown);
      recorder.record({
        kind: 'observation',
        type: 'service.failed',
        tone: 'attack',
        text: `${id} could not be started at ${site}: ${error.message}`,
        subject: id,
        changes: [{ op: 'patch', collection: 'services', id, value: { state: 'down' } }],
      });
      return error;
    }
  }

  /** The lab may be another one than that in which a service was added. */
  #sayHomeless({ hostname, homeSite }: ServiceDescription): void {
    this.#context.recorder.record({
      kind: 'observation',
      type: 'service.homeless',
      tone: 'attack',
      text: `${hostname} is not started: its home ${homeSite} is no hosting site of this lab.`,
      subject: hostname,
      changes: [{ op: 'patch', collection: 'services', id: hostname, value: { state: 'down' } }],
    });
  }

  /** A site that does not answer may still run its pod: nothing is started elsewhere until it has been asked. */
  #waitForSite(description: ServiceDescription, known: Service): void {
    if (known.state !== 'down' && !this.#stopping)
      this.#context.recorder.record({
        kind: 'observation',
        type: 'service.unseen',
        tone: 'attack',
        text: `${known.site}, where ${known.id} lives, does not answer. Nothing is started elsewhere, since it may still run there.`,
        subject: known.id,
        changes: [{ op: 'patch', collection: 'services', id: known.id, value: { state: 'down' } }],
      });
    this.#lookAgain(description);
  }

  /** A site that comes back without a service has lost it: nobody else would start it again. */
  #lookForLost(): void {
    this.#after(lookForLostMs, () => {
      for (const id of this.#lost.look(this.#context.store.state)) {
        const description = this.#descriptions.get(id);
        if (description && !this.#busy.has(id)) this.#revive(description, reviveAgainMs.first);
      }
      this.#lookForLost();
    });
  }

  #revive(description: ServiceDescription, pauseMs: number): void {
    const id = description.hostname;
    this.#busy.add(id);
    void this.#startAnew(description)
      .catch(toMoveError)
      .then((failure) => {
        this.#busy.delete(id);
        if (!failure || this.#descriptions.get(id) !== description) return;
        this.#context.log(`starting ${id} anew: ${failure.message}`);
        this.#after(pauseMs, () => {
          if (this.#descriptions.get(id) !== description || this.#busy.has(id)) return;
          this.#revive(description, Math.min(2 * pauseMs, reviveAgainMs.longest));
        });
      });
  }

  /** Starts a lost service at its home, after what is left of it where it was; answers why it does not run. */
  async #startAnew(description: ServiceDescription): Promise<MoveError | null> {
    const { recorder } = this.#context;
    const { state } = serviceOf(this.#context, description.hostname);
    const { found, asleep } = await findPod(this.#context, state.id);
    if (this.#isMoving(state.id) || asleep.length > 0)
      throw new MoveError('SERVICE_BUSY', `${state.id} is moving, or was left frozen by a move.`, { asleep });
    if (!found) {
      if (state.state === 'running')
        recorder.record({
          kind: 'observation',
          type: 'service.lost',
          tone: 'attack',
          text: `${state.site} answers without ${state.id}: what stood in its memory is lost. It is started anew at ${state.homeSite}.`,
          subject: state.id,
          changes: [{ op: 'patch', collection: 'services', id: state.id, value: { state: 'down' } }],
        });
      for (const site of new Set([state.site, state.homeSite])) {
        const agent = await this.#context.agent(site);
        await agent.call('site.stop', { service: state.id }, { deadlineMs: stopDeadlineMs });
      }
    }
    return await this.#ensure(description);
  }

  #isMoving(service: string): boolean {
    return Object.values(this.#context.store.state.moves).some(
      (move) => move.service === service && isUnderWay(move),
    );
  }

  #lookAgain(description: ServiceDescription): void {
    this.#after(findAgainMs, () => {
      if (
        this.#descriptions.get(description.hostname) !== description ||
        this.#busy.has(description.hostname)
      )
        return;
      void this.#ensure(description).catch((thrown) =>
        this.#context.log(`looking for ${description.hostname}: ${toMoveError(thrown).message}`),
      );
    });
  }

  #after(ms: number, then: () => void): void {
    if (this.#stopping) return;
    const cancel = this.#context.clock.after(ms, () => {
      this.#waits.delete(cancel);
      then();
    });
    this.#waits.add(cancel);
  }

  /** A start that is overtaken by the stop begins nothing any more. */
  #mustGoOn(): void {
    if (this.#stopping) throw new MoveError('CANCELLED', 'The control plane was stopped while it started.');
  }
}
