import { type AttackClass, attackClassSchema, type DrillKind } from '../contract/domain.ts';
import { MoveError } from '../runtime/errors.ts';
import { loadBounds } from './target-guard.ts';

/** Drills that attack the site where the service lives, so that it has to leave. */
export type AttackDrillKind = DrillKind & AttackClass;

export function isAttackDrill(kind: DrillKind): kind is AttackDrillKind {
  return attackClassSchema.options.some((one) => one === kind);
}

/** What a drill does, for how long, and when it is stopped early. */
export interface DrillPlan {
  kind: DrillKind;
  service: string;
  /** The site whose primary link is filled; of a node flood, the overlay node. */
  site: string;
  /** Hosts that send: bots for a flood, clients for a surge; none for a quiet minute. */
  senders: readonly string[];
  /** Megabits a second that each bot offers. */
  mbitEach: number;
  /** Connection attempts a second by each bot of a SYN flood. */
  packetsPerSecondEach: number;
  /** Requests a second that each bot makes at most. */
  requestsPerSecondEach: number;
  /** Connections that each client opens in a surge, and each bot that attacks by requests. */
  connectionsEach: number;
  quietMs: number;
  loadMs: number;
  tailMs: number;
  /** Longest wait for the move after the first packet; of a node flood, for the node's return after the last one. */
  moveLimitMs: number;
  /** Each person asks every `periodMs`, and gives up on an answer after `limitMs`. */
  periodMs: number;
  limitMs: number;
  /** More failures through the overlay than this, and the drill stops: it harms more than it shows. */
  maximumOverlayFailures: number;
}

const common = {
  mbitEach: 0,
  packetsPerSecondEach: 0,
  requestsPerSecondEach: 0,
  connectionsEach: 0,
  senders: [] as readonly string[],
  quietMs: 4000,
  loadMs: 8000,
  tailMs: 4000,
  moveLimitMs: 30_000,
  periodMs: 10,
  limitMs: 5000,
  maximumOverlayFailures: 100,
};

/** After so long a site that a service has come home to knows who is no stranger. */
const acquaintingMs = 15_000;

/** What each kind of drill is when nobody asks for anything else. */
export const drillDefaults: Record<DrillKind, Omit<DrillPlan, 'kind' | 'service' | 'site'>> = {
  'udp-flood': { ...common, mbitEach: 15 },
  'icmp-flood': { ...common, mbitEach: 15 },
  // Small packets: the link holds, and what waits to be a connection does not.
  'syn-flood': { ...common, packetsPerSecondEach: 2000 },
  'http-flood': { ...common, quietMs: acquaintingMs, connectionsEach: 16, requestsPerSecondEach: 400 },
  // Fewer than the default Apache has workers: who is held up is the next one, not everybody.
  'slow-http': { ...common, quietMs: acquaintingMs, connectionsEach: 20 },
  // So few that the answers leave room on the primary link: it is the processors that they take.
  'expensive-requests': { ...common, quietMs: acquaintingMs, connectionsEach: 3, requestsPerSecondEach: 3 },
  // Whoever enters by the flooded node is cut off once: that costs the requests under way, and those until she is in again.
  'node-flood': { ...common, mbitEach: 45, maximumOverlayFailures: 1_000 },
  'honest-surge': { ...common, connectionsEach: 12 },
  'quiet-minute': { ...common, quietMs: 10_000, loadMs: 50_000, tailMs: 0 },
};

/**
 * A plan from its kind, what is asked for, and the defaults.
 * @throws MoveError `DRILL_INVALID` when it exceeds a bound or has nobody to send.
 */
export function planDrill(
  wanted: Pick<DrillPlan, 'kind' | 'service' | 'site'> & Partial<DrillPlan>,
): DrillPlan {
  const plan: DrillPlan = { ...drillDefaults[wanted.kind], ...wanted };
  const reason =
    plan.kind !== 'quiet-minute' && (plan.senders.length < 1 || plan.senders.length > 16)
      ? 'it needs 1 to 16 hosts that send'
      : !(plan.loadMs > 0 && plan.loadMs <= loadBounds.seconds * 1000)
        ? `it may last at most ${loadBounds.seconds} s`
        : !(plan.quietMs >= 1000 && plan.quietMs <= 60_000 && plan.tailMs >= 0 && plan.tailMs <= 60_000)
          ? 'the quiet phase must last 1 to 60 s and the tail at most 60 s'
          : (plan.kind === 'udp-flood' || plan.kind === 'icmp-flood' || plan.kind === 'node-flood') &&
              !(plan.mbitEach > 0 && plan.mbitEach <= loadBounds.mbit)
            ? `a bot may offer at most ${loadBounds.mbit} Mbit/s`
            : plan.kind === 'syn-flood' &&
                !(plan.packetsPerSecondEach > 0 && plan.packetsPerSecondEach <= loadBounds.packetsPerSecond)
              ? `a bot may send at most ${loadBounds.packetsPerSecond} packets a second`
              : plan.connectionsEach !== common.connectionsEach &&
                  !(plan.connectionsEach > 0 && plan.connectionsEach <= loadBounds.connections)
                ? `a host may open at most ${loadBounds.connections} connections`
                : undefined;
  if (reason !== undefined) {
    throw new MoveError('DRILL_INVALID', `This drill cannot run: ${reason}.`, { kind: plan.kind });
  }
  return plan;
}
