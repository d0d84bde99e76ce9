import type { DrillReport } from './drill-report.ts';

/** One figure of two drills, side by side. */
export interface FigureComparison {
  figure: string;
  before: number | null;
  after: number | null;
  /** after / before; null when one of them is missing or `before` is 0. */
  ratio: number | null;
  /** Changes of less than 5% and less than one unit are `same`. */
  change: 'better' | 'worse' | 'same' | 'incomparable';
}

/** Every figure that gets better by getting smaller. */
const figures: Record<string, (report: DrillReport) => number | null> = {
  detectedMs: (report) => report.detectedMs,
  decidedMs: (report) => report.decidedMs,
  freezeMs: (report) => report.phases.freezeMs,
  dumpMs: (report) => report.phases.dumpMs,
  shipMs: (report) => report.phases.shipMs,
  verifyMs: (report) => report.phases.verifyMs,
  restoreMs: (report) => report.phases.restoreMs,
  announceMs: (report) => report.phases.announceMs,
  firstAnswerMs: (report) => report.phases.firstAnswerMs,
  outageMs: (report) => report.outageMs,
  disruptionMs: (report) => report.disruptionMs,
  wireBytes: (report) => report.wireBytes,
  overlayFailures: (report) => report.overlay.failures,
  overlayP50Ms: (report) => report.overlay.p50Ms,
  overlayP95Ms: (report) => report.overlay.p95Ms,
  overlayLongestStallMs: (report) => report.overlay.longestStallMs,
  quietOverlayP95Ms: (report) => report.quiet.overlay.p95Ms,
};

/** Compares two drills figure by figure, for a screen and for a person who has changed something. */
export function compareReports(before: DrillReport, after: DrillReport): FigureComparison[] {
  return Object.entries(figures).map(([figure, read]) => {
    const left = read(before);
    const right = read(after);
    if (left === null || right === null) {
      const change = left === right ? 'same' : 'incomparable';
      return { figure, before: left, after: right, ratio: null, change };
    }
    const same = left === right || Math.abs(right - left) < Math.max(1, 0.05 * left);
    return {
      figure,
      before: left,
      after: right,
      ratio: left === 0 ? null : right / left,
      change: same ? 'same' : right < left ? 'better' : 'worse',
    };
  });
}
