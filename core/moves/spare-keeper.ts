import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Delegation, Endpoint, SpareStatus } from '../contract/agent-contract.ts';
import type { PodRuntime } from '../pods/port.ts';
import type { Clock } from '../runtime/clock.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import type { Link } from '../runtime/link/link.ts';
import { measuredRate } from './compression-choice.ts';
import { PageIndex } from './page-base.ts';
import { Patience } from './patience.ts';
import { podIdentifier } from './pod-of-service.ts';
import { sendState } from './state-transfer.ts';
import type { StonePath } from './stone-path.ts';

/** A round that does not get on for so long, or is not over after so long, is given up. */
const roundStallMs = 20_000;
const roundDeadlineMs = 900_000;
/** A move that begins lets a round that is nearly over end, and does not wait for any other. */
const settleMs = 250;
/** After a round that failed the next one comes no sooner. */
const retryMs = 5_000;

/** Pages that another site has of a service; both ends know them by this name. */
export interface SpareBase {
  name: string;
  index: PageIndex;
  /** What the way carried when it last had enough to carry; null before. */
  bytesPerSecond: number | null;
}

interface Kept {
  target: Endpoint;
  everyMs: number;
  link: Link | null;
  /** What the other side has, while its link is open. */
  base: SpareBase | null;
  status: SpareStatus;
  /** Takes the next round back. */
  cancel: () => void;
  /** The round that is under way. */
  round: { stop: AbortController; over: Promise<void> } | null;
}

/**
 * Keeps other sites nearly current: again and again the pages of a running pod are read, and those that its spare does
 * not have are sent there by the stepping stone. Pages are compared by SHA-256, because the kernel does not tell which
 * ones changed. A round only reads: it freezes nothing, so that it can neither hold the service up nor leave it
 * standing, and what it sends is of no single moment and cannot run. A move to the spare sends what changed since.
 */
export class SpareKeeper {
  readonly #runtime: Pick<PodRuntime, 'status' | 'writeAdvance'>;
  readonly #path: Pick<StonePath, 'link'>;
  readonly #runDirectory: string;
  readonly #clock: Clock;
  readonly #log: (line: string) => void;
  readonly #limitBytes: number;
  readonly #isBusy: (service: string) => boolean;
  readonly #delegationOf: (service: string) => Delegation | undefined;
  readonly #kept = new Map<string, Kept>();

  constructor(options: {
    runtime: Pick<PodRuntime, 'status' | 'writeAdvance'>;
    path: Pick<StonePath, 'link'>;
    runDirectory: string;
    clock: Clock;
    log: (line: string) => void;
    /** A pod with more pages than this has no spare. */
    limitBytes: number;
    /** Whether a move or a rehearsal of the service is under way: no round begins then. */
    isBusy: (service: string) => boolean;
    /** The service's word that it is here; undefined when it is not. */
    delegationOf: (service: string) => Delegation | undefined;
  }) {
    this.#runtime = options.runtime;
    this.#path = options.path;
    this.#runDirectory = join(options.runDirectory, 'sparing');
    this.#clock = options.clock;
    this.#log = options.log;
    this.#limitBytes = options.limitBytes;
    this.#isBusy = options.isBusy;
    this.#delegationOf = options.delegationOf;
    // Of an agent that died in the midst.
    rmSync(this.#runDirectory, { recursive: true, force: true });
  }

  /** Keeps `target` current with the service from now on, in place of any other site. Idempotent. */
  keep(service: string, target: Endpoint, everyMs: number): void {
    const before = this.#kept.get(service);
    if (before?.target.name === target.name && before.everyMs === everyMs) return;
    this.drop(service);
    const kept: Kept = {
      target,
      everyMs,
      link: null,
      base: null,
      status: {
        service,
        site: target.name,
        everyMs,
        rounds: 0,
        currentAt: null,
        bytes: 0,
        lastBytes: 0,
        lastMs: 0,
        processorMs: 0,
        error: null,
      },
      cancel: () => undefined,
      round: null,
    };
    this.#kept.set(service, kept);
    this.#begin(service, kept);
  }

  /** Keeps nothing of the service current any more; what the other site has goes with the link. Idempotent. */
  drop(service: string): void {
    const kept = this.#kept.get(service);
    if (!kept) return;
    this.#kept.delete(service);
    kept.cancel();
    kept.round?.stop.abort();
    kept.link?.close();
  }

  status(): SpareStatus[] {
    return [...this.#kept.values()].map(({ status }) => ({ ...status }));
  }

  /**
   * What the site `target` has of the service's pages; null when it has nothing. For a move: a round that is under way
   * has a quarter of a second to end and is given up then.
   */
  async baseAt(service: string, target: string): Promise<SpareBase | null> {
    const kept = this.#kept.get(service);
    if (kept?.target.name !== target) return null;
    const { round } = kept;
    if (round) {
      const cancel = this.#clock.after(settleMs, () => round.stop.abort());
      await round.over;
      cancel();
    }
    return kept.link?.isOpen ? kept.base : null;
  }

  stop(): void {
    for (const service of [...this.#kept.keys()]) this.drop(service);
  }

  #begin(service: string, kept: Kept): void {
    if (this.#isBusy(service)) {
      this.#later(service, kept, kept.everyMs);
      return;
    }
    const stop = new AbortController();
    const over = this.#round(service, kept, stop).then(
      () => {
        kept.round = null;
        kept.status.error = null;
        this.#later(service, kept, kept.everyMs);
      },
      (thrown) => {
        kept.round = null;
        // For a move, or because it is dropped: what the other side has is as it was before.
        if (!stop.signal.aborted) this.#failed(service, kept, thrown);
        this.#later(service, kept, Math.max(retryMs, kept.everyMs));
      },
    );
    kept.round = { stop, over };
  }

  #failed(service: string, kept: Kept, thrown: unknown): void {
    const { code, message } = toMoveError(thrown);
    if (kept.status.error?.code !== code) this.#log(`the spare of ${service}: ${code} ${message}`);
    kept.status.error = { code, message };
    // What the other side has is not certain any more: the next round sends all of it.
    kept.base = null;
    kept.link?.close();
    kept.link = null;
  }

  #later(service: string, kept: Kept, ms: number): void {
    if (this.#kept.get(service) !== kept) return;
    kept.cancel = this.#clock.after(ms, () => this.#begin(service, kept));
  }

  async #round(service: string, kept: Kept, stop: AbortController): Promise<void> {
    const patience = new Patience(roundStallMs);
    const signal = AbortSignal.any([stop.signal, patience.signal, AbortSignal.timeout(roundDeadlineMs)]);
    const pod = podIdentifier(service);
    const directory = join(this.#runDirectory, pod);
    const startedAt = this.#clock.monotonic();
    const usedBefore = process.cpuUsage();
    try {
      const { phase } = await this.#runtime.status(pod);
      if (phase !== 'running')
        throw new MoveError('POD_NOT_RUNNING', `${service} is ${phase} and cannot be copied.`, { service });
      const delegation = this.#delegationOf(service);
      if (!delegation)
        throw new MoveError('SERVICE_NOT_HERE', `${service} does not live on this site.`, { service });
      const link = await this.#linkOf(kept, signal);
      const readAt = this.#clock.now();
      await this.#runtime.writeAdvance(pod, directory, { limitBytes: this.#limitBytes, signal });
      const name = randomUUID();
      const { base } = kept;
      const on = base?.name ?? null;
      const stream = link.openStreamNow({ kind: 'spare', service, name, on, delegation });
      // Whoever gives it up while the other side has still to confirm waits for that no longer either.
      signal.addEventListener('abort', () => stream.destroy(), { once: true });
      const sentFrom = this.#clock.monotonic();
      const sending = sendState(directory, stream, {
        signal,
        index: base?.index,
        onProgress: () => patience.touch(),
      }).then((sent) => ({ ...sent, seconds: (this.#clock.monotonic() - sentFrom) / 1_000 }));
      const [sent, index] = await Promise.all([sending, PageIndex.of(directory, signal)]);
      kept.base = {
        name,
        index,
        bytesPerSecond: measuredRate(sent.wireBytes, sent.seconds) ?? base?.bytesPerSecond ?? null,
      };
      const used = process.cpuUsage(usedBefore);
      const { status } = kept;
      status.rounds += 1;
      status.currentAt = readAt;
      status.bytes += sent.wireBytes;
      status.lastBytes = sent.wireBytes;
      status.lastMs = Math.round(this.#clock.monotonic() - startedAt);
      status.processorMs += Math.round((used.user + used.system) / 1000);
    } finally {
      patience.end();
      await rm(directory, { recursive: true, force: true });
    }
  }

  /** The link that is kept for it; after one that broke a new one, by which the other side has nothing yet. */
  async #linkOf(kept: Kept, signal: AbortSignal): Promise<Link> {
    if (kept.link?.isOpen) return kept.link;
    kept.base = null;
    kept.link = null;
    const dialling = this.#path.link(kept.target, 'site');
    try {
      const link = await Promise.race([dialling, aborted(signal)]);
      signal.throwIfAborted();
      kept.link = link;
      return link;
    } catch (thrown) {
      // Nobody waits for it any more, whenever it comes.
      void dialling.then(
        (late) => late.close(),
        () => undefined,
      );
      throw thrown;
    }
  }
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const give = () => reject(new MoveError('CANCELLED', 'The round was given up.'));
    if (signal.aborted) give();
    else signal.addEventListener('abort', give, { once: true });
  });
}
