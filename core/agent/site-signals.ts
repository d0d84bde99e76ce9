import type { AgentConfiguration } from '../contract/agent-contract.ts';
import { systemClock } from '../runtime/clock.ts';
import { toMoveError } from '../runtime/errors.ts';
import { type AttackAlarm, AttackDetector } from '../sites/attack/attack-detector.ts';
import type { LinkSample } from '../sites/attack/link-sample.ts';
import { LinkSampler } from '../sites/attack/link-sampler.ts';
import type { RequestEvent } from '../sites/attack/request-classifier.ts';
import type { ReadablePod } from '../sites/attack/request-sampler.ts';
import { RequestSignals } from './request-signals.ts';
import type { RoleContext } from './role.ts';

const ratesEveryMs = 500;
/** How often it is asked which pods there are. */
const podsEveryMs = 500;

/** A pod that runs here and is not about to leave. */
export type WatchedPod = ReadablePod & { service: string };

/** What a site sees of its links: rates now and then, an alarm at once (MOVE section 2.4, third step). */
export class SiteSignals {
  readonly #context: RoleContext;
  readonly #primary: LinkSampler;
  readonly #secondary: LinkSampler;
  readonly #detector: AttackDetector;
  readonly #requests: RequestSignals;
  /** Services of this site that a class hits now. */
  readonly #hit = new Map<RequestEvent['kind'], Set<string>>();
  #inboundMbit = 0;
  #last: { primary: LinkSample; secondary: LinkSample } | null = null;
  readonly #pods: () => Promise<WatchedPod[]>;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #podsTimer: NodeJS.Timeout | undefined;

  constructor(
    configuration: NonNullable<AgentConfiguration['roles']['site']>,
    context: RoleContext,
    pods: () => Promise<WatchedPod[]>,
    stateDirectory: string,
  ) {
    this.#pods = pods;
    this.#context = context;
    this.#primary = new LinkSampler({ device: configuration.primaryInterface });
    this.#secondary = new LinkSampler({ device: configuration.secondaryInterface });
    this.#detector = new AttackDetector({ capacityMbit: configuration.primaryCapacityMbit });
    this.#requests = new RequestSignals({
      stateDirectory,
      pods,
      linkFlooded: () => this.#detector.active.length > 0,
      tell: (event, service) => this.#request(event, service),
      log: context.log,
    });
  }

  start(): void {
    this.#primary.start(
      (sample) => {
        for (const event of this.#detector.observe(sample))
          if (event.type === 'alarm') this.#alarm(event.alarm);
          else
            this.#context.events.tellEnd(`attack ${event.cleared.kind}`, {
              type: 'attack',
              at: systemClock.now(),
              state: 'over',
              kind: event.cleared.kind,
              evidence: 'The signs are gone.',
              inboundMbit: 0,
              firstEvidenceAt: event.cleared.detectedAt,
              detectedAt: event.cleared.detectedAt,
            });
      },
      (fault) => this.#context.log(`attack signals ended: ${fault.code} ${fault.message}`),
    );
    this.#timer = setInterval(() => this.#rates(), ratesEveryMs);
    this.#look();
    this.#requests.start();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    clearTimeout(this.#podsTimer);
    this.#primary.close();
    this.#secondary.close();
    await this.#requests.stop();
  }

  /** The counters are of one service, the alarm of the site: it lasts until none of its services is hit. */
  #request(event: RequestEvent, service: string): void {
    const hit = this.#hit.get(event.kind) ?? new Set();
    this.#hit.set(event.kind, hit);
    const before = hit.size;
    if (event.type === 'raised') hit.add(service);
    else hit.delete(service);
    if (event.type === 'raised' ? before > 0 : hit.size > 0) return;
    const key = `attack ${event.kind}`;
    const common = {
      type: 'attack',
      at: systemClock.now(),
      kind: event.kind,
      inboundMbit: this.#inboundMbit,
      detectedAt: event.detectedAt,
    } as const;
    if (event.type === 'raised')
      this.#context.events.tellLasting(key, {
        ...common,
        state: 'active',
        evidence: `${service}: ${event.sentence}`,
        firstEvidenceAt: event.firstEvidenceAt,
      });
    else
      this.#context.events.tellEnd(key, {
        ...common,
        state: 'over',
        evidence: 'The signs are gone.',
        firstEvidenceAt: event.detectedAt,
      });
  }

  /** A service that arrives is watched from its first half second on, one that leaves no longer. */
  #look(): void {
    this.#pods()
      .then(
        (pods) => this.#primary.watchPods(pods.map(({ processId }) => processId)),
        (thrown: unknown) => this.#context.log(`pods are not watched: ${toMoveError(thrown).message}`),
      )
      .finally(() => {
        if (!this.#stopped) this.#podsTimer = setTimeout(() => this.#look(), podsEveryMs);
      });
  }

  #alarm(alarm: AttackAlarm): void {
    this.#context.events.tellLasting(`attack ${alarm.kind}`, {
      type: 'attack',
      at: systemClock.now(),
      state: 'active',
      kind: alarm.kind,
      evidence: alarm.evidence.sentence,
      inboundMbit: alarm.evidence.inboundMbit,
      firstEvidenceAt: alarm.firstEvidenceAt,
      detectedAt: alarm.detectedAt,
    });
  }

  #rates(): void {
    const now = { primary: this.#primary.sample(), secondary: this.#secondary.sample() };
    const before = this.#last;
    this.#last = now;
    if (!before) return;
    const rate = (link: 'primary' | 'secondary') => {
      const seconds = (now[link].monotonic - before[link].monotonic) / 1000;
      const mbit = (bytes: number) => (seconds > 0 ? (bytes * 8) / seconds / 1e6 : 0);
      return {
        link,
        inMbit: mbit(now[link].receivedBytes - before[link].receivedBytes),
        outMbit: mbit(now[link].sentBytes - before[link].sentBytes),
      };
    };
    const primary = rate('primary');
    this.#inboundMbit = primary.inMbit;
    this.#context.events.tell({
      type: 'links',
      at: systemClock.now(),
      links: [primary, rate('secondary')],
    });
  }
}
