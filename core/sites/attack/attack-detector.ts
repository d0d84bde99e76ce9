import type { LinkSample } from './link-sample.ts';

export const linkAttackKinds = ['udp-flood', 'icmp-flood', 'syn-flood'] as const;
export type AttackKind = (typeof linkAttackKinds)[number];

/** The figures an alarm rests on, and the same as a sentence for people. */
export interface AttackEvidence {
  /** Megabits a second that came in over the primary link. */
  inboundMbit: number;
  /** That, as a share of the link's capacity. */
  utilisation: number;
  packetsPerSecond: number;
  /** Mean size in bytes of a packet that came in. */
  meanPacketBytes: number;
  /** Share of the packets that nobody here had asked for. */
  unsolicitedShare: number;
  /** Share of these that were ICMP messages. */
  icmpShare: number;
  /** Connection attempts that were never completed, a second. */
  vainAttemptsPerSecond: number;
  /** Milliseconds over which these figures were taken. */
  windowMs: number;
  sentence: string;
}

export interface AttackAlarm {
  kind: AttackKind;
  /** `critical`: the link is full and people cannot get through. `warning`: the attack is there, the link holds. */
  severity: 'critical' | 'warning';
  /** Milliseconds since the epoch: the first reading that showed it, and the one that made it certain. */
  firstEvidenceAt: number;
  detectedAt: number;
  evidence: AttackEvidence;
}

export interface AttackCleared {
  kind: AttackKind;
  /** Milliseconds since the epoch. */
  detectedAt: number;
  clearedAt: number;
}

export type AttackEvent = { type: 'alarm'; alarm: AttackAlarm } | { type: 'cleared'; cleared: AttackCleared };

export interface AttackDetectorOptions {
  /** What the primary link carries inbound, in megabits a second. */
  capacityMbit: number;
  /** Milliseconds that the signs have to last. Default 75: four readings 25 ms apart. */
  windowMs?: number;
  /** Share of the capacity at which a link counts as full. Default 0.75. */
  fullShare?: number;
  /** Share of unsolicited packets at which what fills it counts as a flood. Default 0.5. */
  unsolicitedShare?: number;
  /** Connection attempts a second that are never completed before that counts as a SYN flood. Default 200. */
  vainAttemptsPerSecond?: number;
  /** Milliseconds below every threshold after which an alarm is cleared. Default 2000. */
  clearAfterMs?: number;
}

/** Readings further apart than this say nothing about what happened in between. */
const LONGEST_GAP_MS = 1000;
/** Readings that are kept at most, whatever the clock does. */
const KEPT_READINGS = 256;

/**
 * Tells a flood from a crowd by counters alone (MOVE, section 3.4, leaves the detector open). Readings go in,
 * alarms come out; it does no input or output and has no clock.
 *
 * A UDP or ICMP flood is a primary link that is filled *and* filled with packets that nobody here had asked
 * for: to a port without a listener, to a socket that is full, ICMP, or such as a firewall dropped; most of them tell
 * which of the two it is. An honest surge fills the link too, in either direction, but with TCP segments of
 * connections that exist. A SYN flood is
 * many SYN cookies of which hardly any comes back: a crowd completes its handshakes. Half-open connections that are
 * reset are no sign: a service that is too slow to accept has them from honest people who gave up.
 */
export class AttackDetector {
  readonly #options: Required<AttackDetectorOptions>;
  readonly #readings: LinkSample[] = [];
  readonly #tracks: Record<AttackKind, Track> = {
    'udp-flood': newTrack(),
    'icmp-flood': newTrack(),
    'syn-flood': newTrack(),
  };

  constructor(options: AttackDetectorOptions) {
    this.#options = {
      windowMs: 75,
      fullShare: 0.75,
      unsolicitedShare: 0.5,
      vainAttemptsPerSecond: 200,
      clearAfterMs: 2000,
      ...options,
    };
  }

  /** Alarms that have been raised and not cleared. */
  get active(): readonly AttackAlarm[] {
    return Object.values(this.#tracks).flatMap((track) => (track.alarm === undefined ? [] : [track.alarm]));
  }

  /** Takes the next reading and says what it changed. Readings must come in order of time. */
  observe(sample: LinkSample): AttackEvent[] {
    const previous = this.#readings.at(-1);
    if (previous !== undefined) {
      const gap = sample.monotonic - previous.monotonic;
      if (gap <= 0) return [];
      if (gap > LONGEST_GAP_MS || wentBackwards(previous, sample)) this.#forget();
    }
    this.#readings.push(sample);
    // Keep one reading that is at least a window old, so that the rates span a whole window.
    while (
      this.#readings.length > KEPT_READINGS ||
      (this.#readings.length > 2 && sample.monotonic - this.#readings[1]!.monotonic >= this.#options.windowMs)
    ) {
      this.#readings.shift();
    }
    const last = this.#readings.at(-2);
    const first = this.#readings[0];
    if (last === undefined || first === undefined) return [];
    const short = figuresBetween(last, sample, this.#options.capacityMbit);
    const long = figuresBetween(first, sample, this.#options.capacityMbit);
    const whole = long.windowMs >= this.#options.windowMs;
    return linkAttackKinds.flatMap((kind) =>
      this.#follow(kind, last, sample, this.#signs(kind, short), whole && this.#signs(kind, long), long),
    );
  }

  #signs(kind: AttackKind, figures: Figures): boolean {
    if (kind === 'syn-flood') {
      return (
        figures.vainAttemptsPerSecond >= this.#options.vainAttemptsPerSecond &&
        figures.vainAttemptsPerSecond >= 0.8 * figures.cookiesPerSecond
      );
    }
    return (
      figures.utilisation >= this.#options.fullShare &&
      figures.unsolicitedShare >= this.#options.unsolicitedShare &&
      figures.icmpShare > 0.5 === (kind === 'icmp-flood')
    );
  }

  #follow(
    kind: AttackKind,
    before: LinkSample,
    sample: LinkSample,
    now: boolean,
    certain: boolean,
    figures: Figures,
  ): AttackEvent[] {
    const track = this.#tracks[kind];
    if (now || certain) {
      track.firstEvidence ??= before;
      track.lastSign = sample.monotonic;
    } else if (sample.monotonic - track.lastSign > this.#options.windowMs) track.firstEvidence = undefined;
    if (certain && track.alarm === undefined) {
      track.alarm = {
        kind,
        severity: figures.utilisation >= this.#options.fullShare ? 'critical' : 'warning',
        firstEvidenceAt: track.firstEvidence?.at ?? sample.at,
        detectedAt: sample.at,
        evidence: evidenceOf(kind, figures, this.#options.capacityMbit),
      };
      return [{ type: 'alarm', alarm: track.alarm }];
    }
    if (track.alarm !== undefined && sample.monotonic - track.lastSign >= this.#options.clearAfterMs) {
      const cleared = { kind, detectedAt: track.alarm.detectedAt, clearedAt: sample.at };
      track.alarm = undefined;
      return [{ type: 'cleared', cleared }];
    }
    return [];
  }

  /** After a gap or a restart of the counters the past says nothing; alarms stay until they clear. */
  #forget(): void {
    this.#readings.length = 0;
    for (const track of Object.values(this.#tracks)) track.firstEvidence = undefined;
  }
}

interface Track {
  firstEvidence: LinkSample | undefined;
  lastSign: number;
  alarm: AttackAlarm | undefined;
}

function newTrack(): Track {
  return { firstEvidence: undefined, lastSign: Number.NEGATIVE_INFINITY, alarm: undefined };
}

interface Figures extends Omit<AttackEvidence, 'sentence'> {
  /** Attempts that were answered by a cookie: while there is room for half-open connections there are none. */
  cookiesPerSecond: number;
}

function figuresBetween(from: LinkSample, to: LinkSample, capacityMbit: number): Figures {
  const windowMs = to.monotonic - from.monotonic;
  const perSecond = 1000 / windowMs;
  const bytes = to.receivedBytes - from.receivedBytes;
  const packets = to.receivedPackets - from.receivedPackets;
  const dropped = Math.max(0, to.ipReceived - from.ipReceived - (to.ipUsed - from.ipUsed));
  const icmp = to.icmpReceived - from.icmpReceived;
  const unsolicited = to.udpUnwanted - from.udpUnwanted + icmp + dropped;
  const cookies = to.synCookiesSent - from.synCookiesSent;
  const inboundMbit = (bytes * 8 * perSecond) / 1e6;
  return {
    inboundMbit,
    utilisation: inboundMbit / capacityMbit,
    packetsPerSecond: packets * perSecond,
    meanPacketBytes: packets === 0 ? 0 : bytes / packets,
    unsolicitedShare: packets === 0 ? 0 : Math.min(1, unsolicited / packets),
    icmpShare: unsolicited <= 0 ? 0 : Math.min(1, icmp / unsolicited),
    cookiesPerSecond: cookies * perSecond,
    vainAttemptsPerSecond:
      Math.max(0, cookies - (to.synCookiesReceived - from.synCookiesReceived)) * perSecond,
    windowMs,
  };
}

function wentBackwards(from: LinkSample, to: LinkSample): boolean {
  return to.receivedBytes < from.receivedBytes || to.ipReceived < from.ipReceived;
}

function evidenceOf(kind: AttackKind, figures: Figures, capacityMbit: number): AttackEvidence {
  const { cookiesPerSecond: _, ...rest } = figures;
  const sentence =
    kind === 'syn-flood'
      ? `${Math.round(figures.vainAttemptsPerSecond)} connection attempts a second are never completed, while the primary ` +
        `link takes in ${Math.round(figures.packetsPerSecond)} packets a second of ${Math.round(figures.meanPacketBytes)} bytes.`
      : `The primary link takes in ${figures.inboundMbit.toFixed(1)} of its ${capacityMbit} Mbit/s, and ` +
        `${Math.round(figures.unsolicitedShare * 100)}% of the ${Math.round(figures.packetsPerSecond)} packets a second ` +
        `are ${kind === 'icmp-flood' ? 'ICMP messages and others' : 'nothing'} that ${kind === 'icmp-flood' ? 'nobody' : 'anybody'} here asked for.`;
  return { ...rest, sentence };
}
