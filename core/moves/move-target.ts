import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { z } from 'zod';
import {
  type ServiceDescription,
  serviceDescriptionSchema,
  targetStateSchema,
} from '../contract/agent-contract.ts';
import { readIdentity } from '../credentials/identity.ts';
import type { PodRuntime } from '../pods/port.ts';
import { systemClock } from '../runtime/clock.ts';
import { DurableFile } from '../runtime/durable-file.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import type { IncomingStream, Link } from '../runtime/link/link.ts';
import { inPhase } from './in-phase.ts';
import type { LifelineMount } from './lifeline-mount.ts';
import type { PhaseTime } from './move-source.ts';
import { readBase } from './page-base.ts';
import { podIdentifier, podOfService, storageAt } from './pod-of-service.ts';
import type { SpareRoom } from './spare-room.ts';
import { type ReceivedState, receiveState } from './state-transfer.ts';

const targetsSchema = z.record(
  z.string(),
  z.object({
    service: serviceDescriptionSchema,
    epoch: z.number().int(),
    state: targetStateSchema,
    source: z.string(),
    storagePath: z.string().nullable(),
  }),
);
type Targets = z.infer<typeof targetsSchema>;

/** State that arrives may not be larger than this. */
const stateLimitBytes = 4 * 2 ** 30;
/** What may arrive ahead of it, and is kept in memory until it has come. */
export const arrivingAheadBytes = 160 << 20;
const arrivalSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('state'),
    move: z.string(),
    onAdvance: z.boolean(),
    isPlain: z.boolean().default(false),
  }),
  z.object({ kind: z.literal('advance'), move: z.string(), onSpare: z.uuid().nullable().default(null) }),
]);
const restoreDeadlineMs = 20_000;
/** As long as the source may take to send it. */
const arrivalLimitMs = 960_000;
const endedKept = 20;

/**
 * The other side of moves: takes the state in, checks it, wakes the pod inside its fence and probes it
 * there. Only `commit` lifts the fence; a pod that was never committed is discarded.
 */
export class MoveTarget {
  readonly #host: string;
  readonly #runtime: PodRuntime;
  readonly #mount: LifelineMount;
  readonly #runDirectory: string;
  readonly #file: DurableFile<Targets>;
  readonly #spares: Pick<SpareRoom, 'baseOf'>;
  /** Pages that came ahead of the state of a move. */
  readonly #ahead = new Map<string, Buffer>();
  readonly #arrivals = new Map<string, PromiseWithResolvers<ReceivedState>>();
  #targets: Targets = {};

  constructor(options: {
    host: string;
    runtime: PodRuntime;
    mount: LifelineMount;
    stateDirectory: string;
    runDirectory: string;
    /** What is held here of services that may come. */
    spares: Pick<SpareRoom, 'baseOf'>;
  }) {
    this.#host = options.host;
    this.#spares = options.spares;
    this.#runtime = options.runtime;
    this.#mount = options.mount;
    this.#runDirectory = join(options.runDirectory, 'arriving');
    this.#file = new DurableFile(join(options.stateDirectory, 'targets.json'), targetsSchema);
  }

  /** Takes up what was under way before a restart, and expects the lifelines of pods that live here. */
  async restore(): Promise<void> {
    this.#targets = await this.#file.read({});
    for (const { service, state } of Object.values(this.#targets))
      if (state !== 'discarded' && service.storage && service.homeSite !== this.#host)
        await this.#mount.expect(service.hostname);
  }

  list(): { move: string; service: string; epoch: number; state: z.infer<typeof targetStateSchema> }[] {
    return Object.entries(this.#targets).map(([move, target]) => ({
      move,
      service: target.service.hostname,
      epoch: target.epoch,
      state: target.state,
    }));
  }

  /** Makes room, fenced, and mounts the lifeline. @throws MoveError of the mount or the runtime. */
  async prepare(order: {
    move: string;
    service: ServiceDescription;
    epoch: number;
    source: string;
    storageSite: string;
  }): Promise<void> {
    const { service } = order;
    const id = podIdentifier(service.hostname);
    const running = Object.values(this.#targets).find(
      (target) =>
        target.service.hostname === service.hostname &&
        target.state === 'live' &&
        target.epoch >= order.epoch,
    );
    if (running)
      throw new MoveError('EPOCH_STALE', `${service.hostname} has epoch ${running.epoch} here already.`);
    const away = service.storage !== null && order.storageSite !== this.#host;
    const storagePath = away ? this.#mount.directory(service.hostname) : (service.storage?.path ?? null);
    await this.#set(order.move, {
      service,
      epoch: order.epoch,
      state: 'prepared',
      source: order.source,
      storagePath,
    });
    await this.#runtime.discard(id);
    await Promise.all([
      this.#runtime.prepareTarget(podOfService(service)),
      away ? this.#mount.mount(service.hostname) : undefined,
      this.#runtime.warm(),
    ]);
  }

  /** Takes the state of a prepared move, or what is sent ahead of it, from the site it was promised by. */
  receive(incoming: IncomingStream, link: Link): void {
    try {
      const header = arrivalSchema.parse(incoming.header);
      const { move } = header;
      const target = this.#target(move);
      const peer = readIdentity(link.peerCertificate);
      if (peer.role !== 'site' || peer.name !== target.source)
        throw new MoveError(
          'STATE_DENIED',
          `The state of this move comes from ${target.source} and nobody else.`,
          {
            peer: peer.name,
          },
        );
      if (target.state !== 'prepared')
        throw new MoveError('STATE_UNEXPECTED', `The state of this move has arrived already.`, {
          state: target.state,
        });
      const accept = () => incoming.accept();
      const refuse = (thrown: unknown) => incoming.stream.reset(toMoveError(thrown));
      if (header.kind === 'advance') {
        const { hostname } = target.service;
        const base =
          header.onSpare === null
            ? Buffer.alloc(0)
            : this.#spares.baseOf(hostname, header.onSpare, target.source);
        this.#takeAdvance(move, accept(), base).catch(refuse);
      } else this.#takeState(move, target, header, accept).catch(refuse);
    } catch (thrown) {
      incoming.refuse(toMoveError(thrown));
    }
  }

  async #takeAdvance(move: string, stream: Duplex, base: Buffer): Promise<void> {
    const directory = join(this.#runDirectory, move, 'advance');
    this.#ahead.delete(move);
    await rm(directory, { recursive: true, force: true });
    const { intact } = await receiveState(stream, directory, arrivingAheadBytes, { base });
    if (intact) this.#ahead.set(move, readBase(directory));
    await rm(directory, { recursive: true, force: true });
  }

  async #takeState(
    move: string,
    target: Targets[string],
    { onAdvance, isPlain }: { onAdvance: boolean; isPlain: boolean },
    accept: () => Duplex,
  ): Promise<void> {
    const arrival = this.#arrival(move);
    try {
      const base = onAdvance ? this.#ahead.get(move) : Buffer.alloc(0);
      if (base === undefined)
        throw new MoveError('STATE_DAMAGED', 'What was sent ahead of the state is not here any more.', {
          move,
        });
      const directory = join(this.#runDirectory, move, 'state');
      const received = await receiveState(accept(), directory, stateLimitBytes, { base, isPlain });
      this.#ahead.delete(move);
      this.#targets[move] = { ...target, state: 'received' };
      arrival.resolve(received);
    } catch (thrown) {
      arrival.reject(thrown);
      throw thrown;
    }
  }

  /** Performs consecutive steps. @throws MoveError `STATE_DAMAGED`, `STATE_MISSING`, or the runtime's own. */
  async run(move: string, steps: readonly ('verify' | 'restore')[]): Promise<{ phases: PhaseTime[] }> {
    const target = this.#target(move);
    const id = podIdentifier(target.service.hostname);
    const phases: PhaseTime[] = [];
    for (const step of steps) {
      // Asked before the state is there, it begins the moment that it is.
      const arrived = await this.#arrived(move).catch((thrown) => {
        throw inPhase('ship', thrown);
      });
      const startedAt = systemClock.now();
      if (step === 'verify') {
        if (!arrived.intact)
          throw new MoveError(
            'STATE_DAMAGED',
            'The state that arrived is not the one that was sent. Nothing was restored.',
            {
              move,
              phase: 'verify',
            },
          );
        this.#targets[move] = { ...target, state: 'verified' };
      } else {
        try {
          await this.#runtime.restore(id, join(this.#runDirectory, move, 'state'), {
            storage: storageAt(target.storagePath),
            deadlineMs: restoreDeadlineMs,
          });
          await this.#runtime.probe(id);
        } catch (thrown) {
          throw inPhase('restore', thrown);
        }
        await this.#set(move, { ...target, state: 'restored' });
      }
      phases.push({ phase: step, startedAt, endedAt: systemClock.now() });
    }
    return { phases };
  }

  /** Lifts the fence. Idempotent. @returns what now lives here. */
  async commit(
    move: string,
  ): Promise<{ service: ServiceDescription; epoch: number; storagePath: string | null }> {
    const target = this.#target(move);
    if (target.state !== 'restored' && target.state !== 'live')
      throw new MoveError('MOVE_NOT_RESTORED', 'Only a pod that was restored and probed can be opened.', {
        state: target.state,
      });
    if (target.state === 'restored') {
      await this.#runtime.unfence(podIdentifier(target.service.hostname));
      await this.#set(move, { ...target, state: 'live' });
      // People wait for the pod and not for this; what is left stands below /run and means nothing.
      this.#forgetArrival(move).catch(() => undefined);
    }
    return { service: target.service, epoch: target.epoch, storagePath: target.storagePath };
  }

  /** Removes a pod that was never opened. @throws MoveError `MOVE_COMMITTED` when it lives. */
  async discard(move: string): Promise<void> {
    const target = this.#target(move);
    if (target.state === 'live')
      throw new MoveError('MOVE_COMMITTED', 'This pod is in service and is not discarded.', { move });
    if (target.state === 'discarded') return;
    this.#arrivals
      .get(move)
      ?.reject(new MoveError('MOVE_CANCELLED', 'The move was taken back before its state had come.'));
    await this.#runtime.discard(podIdentifier(target.service.hostname));
    await this.#mount.forget(target.service.hostname);
    await this.#set(move, { ...target, state: 'discarded' });
    await this.#forgetArrival(move);
  }

  /** The service has left this site again: its lifeline ends here. */
  async left(service: string): Promise<void> {
    for (const [move, target] of Object.entries(this.#targets))
      if (target.service.hostname === service && target.state === 'live')
        await this.#set(move, { ...target, state: 'discarded' });
    await this.#mount.forget(service);
  }

  async #forgetArrival(move: string): Promise<void> {
    this.#arrivals.delete(move);
    this.#ahead.delete(move);
    await rm(join(this.#runDirectory, move), { recursive: true, force: true });
  }

  #arrival(move: string): PromiseWithResolvers<ReceivedState> {
    let arrival = this.#arrivals.get(move);
    if (!arrival) {
      arrival = Promise.withResolvers<ReceivedState>();
      // Whoever runs the next step hears of it.
      arrival.promise.catch(() => undefined);
      this.#arrivals.set(move, arrival);
    }
    return arrival;
  }

  async #arrived(move: string): Promise<ReceivedState> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(
        () =>
          reject(
            new MoveError(
              'STATE_MISSING',
              `The state of this move has not arrived within ${arrivalLimitMs} ms.`,
              { move },
            ),
          ),
        arrivalLimitMs,
      );
    });
    try {
      return await Promise.race([this.#arrival(move).promise, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #target(move: string): Targets[string] {
    const target = this.#targets[move];
    if (!target) throw new MoveError('MOVE_UNKNOWN', `This site knows nothing of a move ${move}.`, { move });
    return target;
  }

  async #set(move: string, target: Targets[string]): Promise<void> {
    this.#targets = { ...this.#targets, [move]: target };
    const ended = Object.entries(this.#targets).filter(([, { state }]) => state === 'discarded');
    for (const [old] of ended.slice(0, Math.max(0, ended.length - endedKept))) delete this.#targets[old];
    await this.#file.write(this.#targets);
  }
}
