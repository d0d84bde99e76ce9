import { Conversation } from './conversation.ts';
import type { DirectConnection, PodReading } from './request-reading.ts';

/** Addresses that are remembered as having come before. */
const REMEMBERED = 4_096;
/** Who was connected for so long in quiet times is nobody new. */
const KNOWN_AFTER_MS = 10_000;
/** After so much quiet time, those who were there at the beginning or came soon after it are known. */
const ACQUAINTED_AFTER_MS = 15_000;
/** A pause between readings counts as no more than this. */
const LONGEST_STEP_MS = 1_000;
/** All rates are means over this: what loads a page with a hundred pictures is no machine, what goes on like that is. */
const SPAN_MS = 2_400;
/** Of each address, connections without a byte that are forgiven: browsers open some ahead of need. */
const OPENED_AHEAD = 2;

/** What happened to a pod lately, as far as classes are told apart by it. Rates are means over the last 2.4 s. */
export interface RequestFigures {
  at: number;
  /** Since the reading before. */
  windowMs: number;
  /** Requests a second of everybody who came directly, and of those among them who never came before. */
  requestsPerSecond: number;
  strangerRequestsPerSecond: number;
  /** The most that one stranger's address asked, requests a second. */
  busiestStrangerPerSecond: number;
  /** Direct connections, and those on which strangers send nothing, or next to nothing, and are never answered. */
  connections: number;
  heldConnections: number;
  /** For how many strangers' requests the service was at work at a time, on average. */
  strangersServed: number;
  /** Share of the last 2.4 s in which strangers' requests were answered, reading by reading. */
  strangersAskingShare: number;
  /** Addresses of strangers that are connected. */
  strangers: number;
  /** Whether it was watched for so long that who is no stranger can be known. */
  acquainted: boolean;
  /** Processors that the service keeps busy: 1 is one of them all the time. */
  processors: number;
  /** Milliseconds of a processor that each request cost; undefined when there were too few to say. */
  processorMsPerRequest: number | undefined;
  /** Requests a second of known people, through the overlay. */
  knownRequestsPerSecond: number;
}

/** What happened between two readings. */
interface Step {
  ms: number;
  requests: number;
  known: number;
  processorMs: number;
  strangersServed: number;
  perStranger: ReadonlyMap<string, number>;
}

/** Requests in the span below which their cost says more about what else the service does. */
const FEWEST_TO_COUNT_BY = 3;

/**
 * Turns readings into figures: remembers connections from one reading to the next, and who has come before. Bounded:
 * the oldest addresses are forgotten.
 */
export class FigureTaker {
  /** Milliseconds that an address was connected in quiet times. */
  readonly #returning = new Map<string, number>();
  #conversations = new Map<string, Conversation>();
  #steps: Step[] = [];
  #before: PodReading | undefined;
  #watchedMs = 0;

  /** The service has left: its connections are gone, and who came before stays known. */
  forgetConnections(): void {
    this.#conversations.clear();
    this.#steps = [];
    this.#before = undefined;
  }

  /**
   * The figures as of this reading; undefined for the first one. While `trusting`, addresses that come
   * are on their way to be known; else strangers begin that way anew.
   */
  take(reading: PodReading, trusting: boolean): RequestFigures | undefined {
    const { monotonic } = reading;
    const before = this.#before;
    const conversations = new Map<string, Conversation>();
    const follow = (connection: DirectConnection): [Conversation, number] => {
      const key = `${connection.address} ${connection.port}`;
      let conversation = this.#conversations.get(key);
      if (!conversation?.continues(connection))
        conversation = new Conversation(connection, monotonic, before !== undefined);
      conversations.set(key, conversation);
      return [conversation, conversation.take(connection, monotonic)];
    };
    const perStranger = new Map<string, number>();
    const empty = new Map<string, number>();
    let requests = 0;
    let held = 0;
    let strangersServed = 0;
    for (const connection of reading.direct) {
      const { address } = connection;
      const [conversation, made] = follow(connection);
      requests += made;
      if (this.#isKnown(address)) continue;
      perStranger.set(address, (perStranger.get(address) ?? 0) + made);
      if (conversation.isServed) strangersServed += 1;
      if (conversation.isEmpty(monotonic)) {
        empty.set(address, (empty.get(address) ?? 0) + 1);
        if ((empty.get(address) ?? 0) > OPENED_AHEAD) held += 1;
      } else if (conversation.isDripping(monotonic)) held += 1;
    }
    let known = 0;
    for (const connection of reading.known) known += follow(connection)[1];
    this.#conversations = conversations;
    this.#before = reading;
    const windowMs = monotonic - (before?.monotonic ?? monotonic);
    if (trusting) this.#trust(new Set(reading.direct.map(({ address }) => address)), windowMs);
    // Else who attacks now and then would be known by the beginnings of his attacks.
    else for (const address of perStranger.keys()) this.#returning.delete(address);
    if (before === undefined || windowMs <= 0) return undefined;
    const processorMs = Math.max(0, reading.processorMs - before.processorMs);
    this.#steps.push({ ms: windowMs, requests, known, processorMs, strangersServed, perStranger });
    return {
      at: reading.at,
      windowMs,
      connections: reading.direct.length,
      heldConnections: held,
      strangers: perStranger.size,
      acquainted: this.#watchedMs >= ACQUAINTED_AFTER_MS,
      ...this.#rates(),
    };
  }

  #rates() {
    // What was before the first reading counts as nothing, so that a burst is no rate.
    let spanMs = this.#steps.reduce((sum, { ms }) => sum + ms, 0);
    while (this.#steps.length > 1 && spanMs - (this.#steps[0]?.ms ?? 0) >= SPAN_MS)
      spanMs -= this.#steps.shift()?.ms ?? 0;
    const perSecond = 1000 / Math.max(SPAN_MS, spanMs);
    const sum = (of: (step: Step) => number) => this.#steps.reduce((all, step) => all + of(step), 0);
    const perStranger = new Map<string, number>();
    for (const step of this.#steps)
      for (const [address, made] of step.perStranger)
        if (!this.#isKnown(address)) perStranger.set(address, (perStranger.get(address) ?? 0) + made);
    const all = sum(({ requests, known }) => requests + known);
    const processorMs = sum((step) => step.processorMs);
    const asking = sum(({ ms, perStranger: made }) =>
      [...made.values()].some((count) => count > 0) ? ms : 0,
    );
    let strangerRequests = 0;
    let busiest = 0;
    for (const made of perStranger.values()) {
      strangerRequests += made;
      busiest = Math.max(busiest, made);
    }
    return {
      requestsPerSecond: sum(({ requests }) => requests) * perSecond,
      strangerRequestsPerSecond: strangerRequests * perSecond,
      busiestStrangerPerSecond: busiest * perSecond,
      strangersAskingShare: (asking / 1000) * perSecond,
      strangersServed: (sum((step) => step.strangersServed * step.ms) / 1000) * perSecond,
      processors: (processorMs / 1000) * perSecond,
      processorMsPerRequest: all < FEWEST_TO_COUNT_BY ? undefined : processorMs / all,
      knownRequestsPerSecond: sum(({ known }) => known) * perSecond,
    };
  }

  #isKnown(address: string): boolean {
    return (this.#returning.get(address) ?? 0) >= KNOWN_AFTER_MS;
  }

  #trust(addresses: ReadonlySet<string>, windowMs: number): void {
    const stepMs = Math.min(windowMs, LONGEST_STEP_MS);
    this.#watchedMs += stepMs;
    for (const address of addresses) {
      const before = this.#returning.get(address);
      this.#returning.delete(address);
      // The time before somebody was first seen is none that he was here.
      this.#returning.set(address, before === undefined ? 0 : before + stepMs);
    }
    while (this.#returning.size > REMEMBERED) {
      const [oldest] = this.#returning.keys();
      if (oldest === undefined) break;
      this.#returning.delete(oldest);
    }
  }
}
