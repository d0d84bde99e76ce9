import type { Clock } from '../../runtime/clock.ts';
import type { Link } from '../../runtime/link/link.ts';

/** Milliseconds between looks, and how many of them in a row without a sign of life make a link suspect. */
const lookEveryMs = 80;
const silentLooks = 4;
/** A link is in use while it has streams and something was sent on one within so many looks (10 s). */
const inUseLooks = 125;

/** What a vigil looks at. */
export type WatchedLink = Pick<Link, 'heard' | 'sent' | 'streamCount' | 'isOpen' | 'rttMs' | 'ping'>;

export interface LinkVigilParts {
  link: WatchedLink;
  clock: Clock;
  /** One look passed without a sign of life. */
  doubted(): void;
  /**
   * No sign of life for 320 ms although one was asked for, or for two round trips where that is longer. The link may
   * still come back.
   */
  suspected(): void;
  /** A link that was suspected was heard again. */
  recovered(): void;
  /** Called at every look. */
  looked(): void;
}

/**
 * Finds out within half a second that an access point fell silent while somebody uses it: a link's own pulse takes 4 to
 * 5 s to count it as dead, because sessions depend on it, and asks once a second at most. Silence is counted in looks, not in
 * time, so that a process that itself stood still does not blame the other end.
 */
export class LinkVigil {
  readonly #parts: LinkVigilParts;
  #cancel: () => void = () => undefined;
  #heard: number;
  #sent: number;
  #looksSinceSent = inUseLooks;
  #looksAsked = 0;
  #unanswered = 0;
  #suspected = false;

  constructor(parts: LinkVigilParts) {
    this.#parts = parts;
    this.#heard = parts.link.heard;
    this.#sent = parts.link.sent;
    this.#next();
  }

  get isSuspect(): boolean {
    return this.#suspected;
  }

  /** Whether a sign of life was asked for and has not come yet. */
  get isInDoubt(): boolean {
    return this.#unanswered > 1;
  }

  /** Looks closely for half a second although nobody uses the link. */
  ask(): void {
    this.#looksAsked = this.#patience + 2;
    this.#parts.link.ping();
  }

  stop(): void {
    this.#cancel();
  }

  #next(): void {
    this.#cancel = this.#parts.clock.after(lookEveryMs, () => {
      this.#look();
      if (this.#parts.link.isOpen) this.#next();
    });
  }

  #look(): void {
    const { link, doubted, suspected, recovered, looked } = this.#parts;
    const isHeard = link.heard !== this.#heard;
    const isSent = link.sent !== this.#sent;
    this.#heard = link.heard;
    this.#sent = link.sent;
    this.#looksSinceSent = isSent ? 0 : this.#looksSinceSent + 1;
    this.#looksAsked = Math.max(0, this.#looksAsked - 1);
    if (isHeard) {
      this.#unanswered = 0;
      if (this.#suspected) {
        this.#suspected = false;
        recovered();
      }
    } else if (this.#suspected || this.#looksAsked > 0 || this.#isInUse) {
      this.#unanswered += 1;
      // Asked again now and then: the answer to one of them ends the suspicion.
      if (this.#unanswered % silentLooks === 1) link.ping();
      if (this.#unanswered === 1) doubted();
      if (this.#unanswered > this.#patience && !this.#suspected) {
        this.#suspected = true;
        suspected();
      }
    } else this.#unanswered = 0;
    looked();
  }

  /** Far away is not silent: two round trips are waited for, the first of which is the usual one. */
  get #patience(): number {
    return Math.max(silentLooks, Math.ceil((2 * (this.#parts.link.rttMs ?? 0)) / lookEveryMs));
  }

  get #isInUse(): boolean {
    return this.#parts.link.streamCount > 0 && this.#looksSinceSent < inUseLooks;
  }
}
