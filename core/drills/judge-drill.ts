import type { AttackClass, DrillKind, MovePhase, MovePhaseName } from '../contract/domain.ts';
import type { ProbeSample, ProbeSummary } from '../measure/probe-sample.ts';
import { disruption, firstRightAnswerAfter, summarizeProbes } from '../measure/probe-statistics.ts';
import { type AttackDrillKind, isAttackDrill } from './drill-plan.ts';
import type { DrillReport, Hypothesis } from './drill-report.ts';

/** The bars of the main job: what has to hold for a verdict of true. */
export const drillBars = {
  overlayFailures: 0,
  directSlowdown: 10,
  outageMs: 1000,
  detectedMs: 500,
  /** Of attacks that single readings do not show: who asks, and for how long, has to be seen. */
  classMs: 3000,
  disruptionMs: 3000,
  /** Node flood: to the retreat, without a right answer, the requests that fail (as time), to the return after the last packet. */
  retreatMs: 2000,
  stallMs: 2000,
  failedMs: 1000,
  returnMs: 20_000,
  /** Share of the requests that should have been made, below which too little was measured to judge. */
  measuredShare: 0.8,
} as const;

/** What a drill needs to know of the move that it led to. Times are ms since the epoch. */
export interface DrillMove {
  id: string;
  from: string;
  to: string;
  state: 'done' | 'rolled-back' | 'failed' | 'committed';
  phases: readonly MovePhase[];
  stateBytes: number | null;
  wireBytes: number | null;
  aheadBytes: number | null;
}

/** How an overlay node weathered a flood. Times are ms since the epoch. */
export interface NodeReturn {
  detectedAt: number;
  /** When its clients had been sent elsewhere and it had left the ring, if the ring could spare it. */
  retreatedAt: number;
  left: boolean;
  returnedAt: number;
}

/** An alarm: when (ms since the epoch), and what it took the attack for. */
export interface DrillAlarm {
  detectedAt: number;
  kind: AttackClass;
}

/** Everything that was observed. Times are ms since the epoch. */
export interface DrillObservations {
  kind: DrillKind;
  site: string;
  /** The quiet phase, and the end of the tail. */
  startedAt: number;
  quietEndedAt: number;
  endedAt: number;
  periodMs: number;
  limitMs: number;
  /** What was sent; undefined for a drill that sends nothing. */
  load:
    | {
        senders: readonly string[];
        firstPacketAt: number;
        lastPacketAt: number;
        offeredMbit: number;
        seconds: number;
      }
    | undefined;
  /** Alarms that were raised at the site, in order of time. */
  alarms: readonly DrillAlarm[];
  decidedAt: number | undefined;
  move: DrillMove | undefined;
  /** What became of the flooded overlay node; undefined when it did not leave and return, or none was flooded. */
  nodeReturn: NodeReturn | undefined;
  /** Violations of the ring's invariant at the end; null when nobody asked. */
  ringViolations: number | null;
  /** What had to be done before the drill could begin, in sentences. */
  preparation: readonly string[];
  overlay: readonly ProbeSample[];
  direct: readonly ProbeSample[];
}

/** Judges a drill: the report, and the verdict. Pure; the same observations give the same report. */
export function judgeDrill(seen: DrillObservations): DrillReport {
  const { load, move } = seen;
  const before = (samples: readonly ProbeSample[]) =>
    samples.filter((sample) => sample.startedAt >= seen.startedAt && sample.startedAt < seen.quietEndedAt);
  const quietOverlay = summarizeProbes(before(seen.overlay), seen.limitMs);
  const quietDirect = summarizeProbes(before(seen.direct), seen.limitMs);
  const overlay = summarizeProbes(seen.overlay, seen.limitMs);
  const direct = summarizeProbes(seen.direct, seen.limitMs);
  const floodedDirect =
    load === undefined
      ? null
      : summarizeProbes(
          seen.direct.filter(
            (sample) => sample.startedAt >= load.firstPacketAt && sample.startedAt <= load.lastPacketAt,
          ),
          seen.limitMs,
        );
  const origin = load?.firstPacketAt ?? seen.quietEndedAt;
  const alarm = seen.alarms.find(({ detectedAt }) => detectedAt >= origin);
  const frozenAt = phaseOf(move, 'freeze')?.startedAt;
  // Between the freeze and the commit neither copy answers; what is complete after it began, the new one answered.
  const committedAt = phaseOf(move, 'commit')?.startedAt ?? phaseOf(move, 'announce')?.startedAt;
  const answeredAt = committedAt === undefined ? undefined : firstRightAnswerAfter(seen.overlay, committedAt);
  const announcedAt = phaseOf(move, 'announce')?.endedAt ?? undefined;
  const outageMs = answeredAt === undefined || frozenAt === undefined ? null : answeredAt - frozenAt;
  const disruptionMs =
    seen.kind === 'udp-flood' || seen.kind === 'node-flood'
      ? (disruption(seen.overlay, origin, quietOverlay.p95Ms, frozenAt) ?? null)
      : null;
  const noticedAt = seen.kind === 'node-flood' ? seen.nodeReturn?.detectedAt : alarm?.detectedAt;
  const detectedMs = noticedAt === undefined ? null : noticedAt - origin;
  const figures: Figures = {
    seen,
    overlay,
    direct,
    quietOverlay,
    quietDirect,
    floodedDirect,
    outageMs,
    disruptionMs,
    detectedMs,
  };
  const hypothesis =
    seen.kind === 'udp-flood'
      ? floodHypothesis(figures)
      : seen.kind === 'node-flood'
        ? nodeFloodHypothesis(figures)
        : isAttackDrill(seen.kind)
          ? classHypothesis(figures, seen.kind)
          : calmHypothesis(figures);
  return {
    verdict: hypothesis.every((statement) => statement.held),
    drill: seen.kind,
    startedAt: seen.startedAt,
    attack: {
      kind: seen.kind === 'quiet-minute' ? 'none' : seen.kind,
      targetSite: seen.site,
      bots: [...(load?.senders ?? [])],
      offeredMbit: load?.offeredMbit ?? 0,
      seconds: load?.seconds ?? 0,
    },
    alarms: seen.alarms.length,
    detectedClass: alarm?.kind ?? null,
    falseClasses: falseClasses(seen),
    detectedMs,
    decidedMs: seen.decidedAt === undefined ? null : Math.max(0, seen.decidedAt - origin),
    phases: {
      freezeMs: lengthOf(move, 'freeze'),
      dumpMs: lengthOf(move, 'dump'),
      shipMs: lengthOf(move, 'ship'),
      verifyMs: lengthOf(move, 'verify'),
      restoreMs: lengthOf(move, 'restore'),
      announceMs: lengthOf(move, 'announce'),
      firstAnswerMs:
        answeredAt === undefined || announcedAt === undefined ? null : Math.max(0, answeredAt - announcedAt),
    },
    outageMs,
    disruptionMs,
    stateBytes: move?.stateBytes ?? null,
    wireBytes: move?.wireBytes ?? null,
    aheadBytes: move?.aheadBytes ?? null,
    overlay,
    direct,
    quiet: {
      overlay: { p50Ms: quietOverlay.p50Ms, p95Ms: quietOverlay.p95Ms },
      direct: { p50Ms: quietDirect.p50Ms, p95Ms: quietDirect.p95Ms },
    },
    floodedDirect,
    hypothesis,
    notes: notesOn(seen),
  };
}

interface Figures {
  seen: DrillObservations;
  overlay: ProbeSummary;
  direct: ProbeSummary;
  quietOverlay: ProbeSummary;
  quietDirect: ProbeSummary;
  floodedDirect: ProbeSummary | null;
  outageMs: number | null;
  disruptionMs: number | null;
  detectedMs: number | null;
}

function floodHypothesis(figures: Figures): Hypothesis[] {
  const { quietDirect, floodedDirect } = figures;
  const slowdown =
    floodedDirect === null || floodedDirect.requests === 0 || quietDirect.p95Ms === 0
      ? null
      : floodedDirect.p95Ms / quietDirect.p95Ms;
  return [
    statement(
      'No request through the overlay fails.',
      figures.overlay.failures,
      'atMost',
      drillBars.overlayFailures,
      'requests',
    ),
    statement(
      'While flooded, the direct person fails or waits many times longer (p95 against the quiet p95; a failure counts as the limit).',
      slowdown,
      'atLeast',
      drillBars.directSlowdown,
      'times',
    ),
    statement(
      'The service is away for at most a second.',
      figures.outageMs,
      'atMost',
      drillBars.outageMs,
      'ms',
    ),
    statement(
      'The attack is detected within half a second.',
      figures.detectedMs,
      'atMost',
      drillBars.detectedMs,
      'ms',
    ),
    statement(
      'Answers are back as before within three seconds.',
      figures.disruptionMs,
      'atMost',
      drillBars.disruptionMs,
      'ms',
    ),
    measuredEnough(figures),
  ];
}

/** The attack is recognised as what it is, and the service leaves it behind. */
function classHypothesis(figures: Figures, kind: AttackDrillKind): Hypothesis[] {
  const { seen } = figures;
  const origin = seen.load?.firstPacketAt ?? seen.quietEndedAt;
  const recognised = seen.alarms.find((alarm) => alarm.kind === kind && alarm.detectedAt >= origin);
  const quick = kind === 'syn-flood' || kind === 'icmp-flood';
  return [
    statement(
      quick
        ? 'The attack is recognised as what it is within half a second.'
        : 'The attack is recognised as what it is within three seconds.',
      recognised === undefined ? null : recognised.detectedAt - origin,
      'atMost',
      quick ? drillBars.detectedMs : drillBars.classMs,
      'ms',
    ),
    statement('It is taken for nothing else.', falseClasses(seen).length, 'atMost', 0, 'classes'),
    statement('The service moves away from it.', seen.move?.state === 'done' ? 1 : 0, 'atLeast', 1, 'moves'),
    statement(
      'No request through the overlay fails.',
      figures.overlay.failures,
      'atMost',
      drillBars.overlayFailures,
      'requests',
    ),
    measuredEnough(figures),
  ];
}

/** Classes of alarms other than the one that was sent. */
function falseClasses(seen: DrillObservations): AttackClass[] {
  return [...new Set(seen.alarms.map(({ kind }) => kind))].filter((kind) => kind !== seen.kind);
}

/** An overlay node can be spared: it goes, the ring closes behind it, people enter elsewhere, and it returns. */
function nodeFloodHypothesis(figures: Figures): Hypothesis[] {
  const { seen } = figures;
  const since = (from: number | undefined, to: number | undefined) =>
    from === undefined || to === undefined ? null : Math.max(0, to - from);
  return [
    statement(
      'The flooded node sends its clients elsewhere and leaves the ring within two seconds.',
      seen.nodeReturn?.left ? since(seen.load?.firstPacketAt, seen.nodeReturn.retreatedAt) : null,
      'atMost',
      drillBars.retreatMs,
      'ms',
    ),
    statement(
      'Whoever entered by it has right answers again within two seconds, by another node.',
      figures.overlay.longestStallMs,
      'atMost',
      drillBars.stallMs,
      'ms',
    ),
    statement(
      'No more than a second of requests fails meanwhile.',
      figures.overlay.failures * seen.periodMs,
      'atMost',
      drillBars.failedMs,
      'ms',
    ),
    statement("The ring's invariant holds afterwards.", seen.ringViolations, 'atMost', 0, 'violations'),
    statement(
      'The node is back within twenty seconds after the flood.',
      since(seen.load?.lastPacketAt, seen.nodeReturn?.returnedAt),
      'atMost',
      drillBars.returnMs,
      'ms',
    ),
    statement('No move is begun.', seen.move === undefined ? 0 : 1, 'atMost', 0, 'moves'),
    measuredEnough(figures),
  ];
}

/** Nothing has happened that deserves an alarm, so none may come. */
function calmHypothesis(figures: Figures): Hypothesis[] {
  const { seen } = figures;
  return [
    statement('No alarm is raised.', seen.alarms.length, 'atMost', 0, 'alarms'),
    statement('No move is begun.', seen.move === undefined ? 0 : 1, 'atMost', 0, 'moves'),
    statement(
      'No request through the overlay fails.',
      figures.overlay.failures,
      'atMost',
      drillBars.overlayFailures,
      'requests',
    ),
    ...(seen.kind === 'honest-surge'
      ? [statement('The surge was really sent.', seen.load?.offeredMbit ?? 0, 'atLeast', 1, 'Mbit/s')]
      : []),
    measuredEnough(figures),
  ];
}

function measuredEnough({ seen, overlay, direct, quietOverlay, quietDirect }: Figures): Hypothesis {
  const share = (made: number, spanMs: number) => made / Math.max(1, Math.floor(spanMs / seen.periodMs));
  const whole = seen.endedAt - seen.startedAt;
  const quiet = seen.quietEndedAt - seen.startedAt;
  const least = Math.min(
    share(overlay.requests, whole),
    share(direct.requests, whole),
    share(quietOverlay.requests, quiet),
    share(quietDirect.requests, quiet),
  );
  return statement(
    'Both people asked all the time, so that there is enough to judge by.',
    least,
    'atLeast',
    drillBars.measuredShare,
    'of the requests due',
  );
}

function statement(
  text: string,
  measured: number | null,
  comparison: Hypothesis['comparison'],
  bar: number,
  unit: string,
): Hypothesis {
  const held = measured !== null && (comparison === 'atMost' ? measured <= bar : measured >= bar);
  return { statement: text, measured, comparison, bar, unit, held };
}

function phaseOf(move: DrillMove | undefined, name: MovePhaseName): MovePhase | undefined {
  return move?.phases.find((phase) => phase.phase === name);
}

function lengthOf(move: DrillMove | undefined, name: MovePhaseName): number | null {
  const phase = phaseOf(move, name);
  return phase === undefined || phase.endedAt === null ? null : Math.max(0, phase.endedAt - phase.startedAt);
}

function notesOn(seen: DrillObservations): string[] {
  const notes: string[] = [...seen.preparation];
  const { load, move } = seen;
  if (load !== undefined && seen.alarms.some(({ detectedAt }) => detectedAt < load.firstPacketAt)) {
    notes.push('An alarm came before the first packet was sent; it is not counted as detection.');
  }
  if (isAttackDrill(seen.kind) && move === undefined) notes.push('No move came about before the time limit.');
  if (move !== undefined && move.state !== 'done' && move.state !== 'committed') {
    notes.push(`The move ended as ${move.state}; the service stayed at ${move.from}.`);
  }
  return notes;
}
