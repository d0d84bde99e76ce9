import { text } from '../text.ts';

/** One bar of a drill's verdict. */
export interface Bar {
  what: string;
  measured: number | null;
  comparison: 'atMost' | 'atLeast';
  bar: number;
  unit: string;
  met: boolean;
}

/** One person's figures. */
export interface PersonFigures {
  requests: number | null;
  failures: number | null;
  p50Ms: number | null;
  p95Ms: number | null;
  longestStallMs: number | null;
}

/** What the window shows of a report. */
export interface ReportReading {
  bars: Bar[];
  overlay: PersonFigures;
  direct: PersonFigures;
  decidedMs: number | null;
  stateBytes: number | null;
  wireBytes: number | null;
  notes: string[];
}

const record = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
const number = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? value : null;

/**
 * Reads a drill's report. It crosses the contract as a free record, so that every field is looked at before
 * it is believed. Statements of the hypothesis come with their figures; where a report has none, the bars
 * of the main job are taken from its named fields.
 */
export function readReport(report: Record<string, unknown>): ReportReading {
  const stated = Array.isArray(report.hypothesis)
    ? report.hypothesis.map(statement).filter((b) => b !== null)
    : [];
  return {
    bars: stated.length > 0 ? stated : namedBars(report),
    overlay: person(report.overlay),
    direct: person(report.direct),
    decidedMs: number(report.decidedMs),
    stateBytes: number(report.stateBytes),
    wireBytes: number(report.wireBytes),
    notes: Array.isArray(report.notes) ? report.notes.filter((note) => typeof note === 'string') : [],
  };
}

function statement(value: unknown): Bar | null {
  const one = record(value);
  const bar = number(one.bar);
  if (typeof one.statement !== 'string' || bar === null) return null;
  return {
    what: one.statement,
    measured: number(one.measured),
    comparison: one.comparison === 'atLeast' ? 'atLeast' : 'atMost',
    bar,
    unit: typeof one.unit === 'string' ? one.unit : '',
    met: one.held === true,
  };
}

function namedBars(report: Record<string, unknown>): Bar[] {
  const words = text.drill.bars;
  const named = [
    [words.overlayFailures, number(record(report.overlay).failures), 0, ''],
    [words.outage, number(report.outageMs), 1_000, 'ms'],
    [words.detected, number(report.detectedMs), 500, 'ms'],
    [words.disruption, number(report.disruptionMs), 3_000, 'ms'],
  ] as const;
  return named
    .filter(([, measured]) => measured !== null)
    .map(([what, measured, bar, unit]) => ({
      what,
      measured,
      comparison: 'atMost',
      bar,
      unit,
      met: measured !== null && measured <= bar,
    }));
}

function person(value: unknown): PersonFigures {
  const figures = record(value);
  return {
    requests: number(figures.requests),
    failures: number(figures.failures),
    p50Ms: number(figures.p50Ms),
    p95Ms: number(figures.p95Ms),
    longestStallMs: number(figures.longestStallMs),
  };
}
