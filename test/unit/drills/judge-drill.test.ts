import { expect, test } from 'vitest';
import { z } from 'zod';
import { compareReports } from '../../../core/drills/compare-reports.ts';
import { type DrillReport, drillReportSchema } from '../../../core/drills/drill-report.ts';
import { type DrillObservations, judgeDrill } from '../../../core/drills/judge-drill.ts';
import { moveAt, samplesOf } from './drill-world.ts';

const START = 1_800_000_000_000;
const FLOOD = START + 4000;
const FROZEN = FLOOD + 350;
const ANSWERED = FROZEN + 262;
const END = FLOOD + 12_000;

const alarmAt = (detectedAt: number) => ({ detectedAt, kind: 'udp-flood' as const });

/** A drill that went as hoped: detected after 110 ms, away for 262 ms, the direct person stuck. */
function hoped(change: Partial<DrillObservations> = {}): DrillObservations {
  return {
    kind: 'udp-flood',
    site: 'a1',
    startedAt: START,
    quietEndedAt: FLOOD - 5,
    endedAt: END,
    periodMs: 10,
    limitMs: 5000,
    load: {
      senders: ['bot-1', 'bot-2', 'bot-3'],
      firstPacketAt: FLOOD,
      lastPacketAt: FLOOD + 8000,
      offeredMbit: 59.8,
      seconds: 8,
    },
    nodeReturn: undefined,
    ringViolations: null,
    preparation: [],
    alarms: [alarmAt(FLOOD + 110)],
    decidedAt: FLOOD + 160,
    move: moveAt(FROZEN),
    overlay: samplesOf(START, END, (at) =>
      at < FLOOD || at >= ANSWERED ? {} : { durationMs: Math.max(5, ANSWERED - at) },
    ),
    direct: samplesOf(START, END, (at) =>
      at < FLOOD ? {} : at < FLOOD + 8000 ? { durationMs: 400 } : { outcome: 'refused', durationMs: 1 },
    ),
    ...change,
  };
}
const failedOf = (report: DrillReport) =>
  report.hypothesis.filter((statement) => !statement.held).map((statement) => statement.statement);

test('a drill that went as hoped has a true verdict, and its figures are those of its observations', () => {
  const report = judgeDrill(hoped());
  expect(failedOf(report)).toEqual([]);
  expect(report.verdict).toBe(true);
  expect(report.attack).toEqual({
    kind: 'udp-flood',
    targetSite: 'a1',
    bots: ['bot-1', 'bot-2', 'bot-3'],
    offeredMbit: 59.8,
    seconds: 8,
  });
  expect(report).toMatchObject({
    detectedMs: 110,
    decidedMs: 160,
    outageMs: 262,
    stateBytes: 7_500_000,
    wireBytes: 1_500_000,
    aheadBytes: 410_000,
  });
  expect(report.phases).toEqual({
    freezeMs: 10,
    dumpMs: 90,
    shipMs: 50,
    verifyMs: 10,
    restoreMs: 60,
    announceMs: 20,
    firstAnswerMs: 12,
  });
  expect(report.disruptionMs).toBeGreaterThan(350);
  expect(report.disruptionMs).toBeLessThan(650);
  expect(report.overlay.failures).toBe(0);
  expect(report.floodedDirect?.p95Ms).toBeGreaterThan(10 * report.quiet.direct.p95Ms);
});

for (const [name, change, statement] of [
  [
    'one failed request through the overlay',
    { overlay: [...hoped().overlay, { startedAt: END - 100, durationMs: 3, outcome: 'reset' as const }] },
    /No request through the overlay/,
  ],
  ['a direct person who notices nothing', { direct: samplesOf(START, END) }, /direct person fails/],
  [
    'an outage of more than a second',
    {
      overlay: samplesOf(START, END, (at) =>
        at < FLOOD || at >= ANSWERED + 800 ? {} : { durationMs: ANSWERED + 800 - at },
      ),
    },
    /away for at most a second/,
  ],
  ['a late alarm', { alarms: [alarmAt(FLOOD + 501)] }, /detected within/],
  ['no alarm', { alarms: [] }, /detected within/],
  ['an alarm only before the flood', { alarms: [alarmAt(FLOOD - 100)] }, /detected within/],
  ['no move', { move: undefined, decidedAt: undefined }, /away for at most a second/],
  [
    'slow answers for longer than three seconds',
    { overlay: samplesOf(START, END, (at) => (at >= FLOOD && at < FLOOD + 3100 ? { durationMs: 40 } : {})) },
    /back as before/,
  ],
  [
    'answers that never get quick again',
    { overlay: samplesOf(START, END, (at) => (at >= FLOOD ? { durationMs: 40 } : {})) },
    /back as before/,
  ],
  [
    'a probe that hardly asked',
    { overlay: hoped().overlay.filter((_, index) => index % 2 === 0) },
    /asked all the time/,
  ],
  ['a probe that asked nothing', { overlay: [] }, /asked all the time/],
] as const) {
  test(`${name} makes the verdict false, and the statement says why`, () => {
    const report = judgeDrill(hoped(change as Partial<DrillObservations>));
    expect(report.verdict).toBe(false);
    expect(failedOf(report).join(' ')).toMatch(statement);
    expect(() => drillReportSchema.parse(report)).not.toThrow();
  });
}

test('an answer that the old site had still sent does not end the outage', () => {
  const straggler = { startedAt: FROZEN - 20, durationMs: 30, outcome: 'ok' as const };
  expect(judgeDrill(hoped({ overlay: [...hoped().overlay, straggler] })).outageMs).toBe(262);
});

test('a direct person whose requests fail at once is not quick', () => {
  const refusing = samplesOf(START, END, (at) => (at >= FLOOD ? { outcome: 'reset', durationMs: 0.3 } : {}));
  const report = judgeDrill(hoped({ direct: refusing }));
  expect(report.floodedDirect?.p95Ms).toBe(5000);
  expect(report.verdict).toBe(true);
});

test('a quiet minute and an honest surge hold without an alarm, and fail with one', () => {
  const calm = {
    overlay: samplesOf(START, END),
    direct: samplesOf(START, END),
    move: undefined,
    decidedAt: undefined,
    alarms: [],
  };
  const quiet = hoped({ ...calm, kind: 'quiet-minute', load: undefined });
  expect(judgeDrill(quiet)).toMatchObject({
    verdict: true,
    detectedMs: null,
    attack: { kind: 'none', bots: [] },
  });
  expect(judgeDrill({ ...quiet, alarms: [alarmAt(FLOOD + 5)] }).verdict).toBe(false);
  const surge = hoped({ ...calm, kind: 'honest-surge' });
  expect(judgeDrill(surge)).toMatchObject({ verdict: true, attack: { kind: 'honest-surge' } });
  expect(judgeDrill({ ...surge, alarms: [alarmAt(FLOOD + 5)] }).verdict).toBe(false);
  expect(judgeDrill({ ...surge, move: moveAt(FROZEN) }).verdict).toBe(false);
  expect(judgeDrill({ ...surge, load: { ...surge.load!, offeredMbit: 0 } }).verdict).toBe(false);
});

test('the report keeps to its schema, whose every figure is documented', () => {
  const report = drillReportSchema.parse(JSON.parse(JSON.stringify(judgeDrill(hoped()))));
  expect(report).toEqual(judgeDrill(hoped()));
  const schema = z.toJSONSchema(drillReportSchema) as {
    required: string[];
    properties: Record<string, object>;
  };
  for (const name of [
    'verdict',
    'detectedMs',
    'outageMs',
    'disruptionMs',
    'wireBytes',
    'overlay',
    'direct',
  ]) {
    expect(schema.required).toContain(name);
    expect(schema.properties[name]).toHaveProperty('description');
  }
});

test('two reports compare figure by figure', () => {
  const before = judgeDrill(hoped());
  const after = {
    ...before,
    outageMs: 180,
    detectedMs: 200,
    disruptionMs: null,
    wireBytes: before.wireBytes,
  };
  const change = Object.fromEntries(compareReports(before, after).map((row) => [row.figure, row.change]));
  expect(change).toMatchObject({
    outageMs: 'better',
    detectedMs: 'worse',
    disruptionMs: 'incomparable',
    wireBytes: 'same',
    overlayFailures: 'same',
  });
});

test('a SYN flood is judged by its class, and by what else it was taken for', () => {
  const syn = { detectedAt: FLOOD + 210, kind: 'syn-flood' as const };
  const right = hoped({
    kind: 'syn-flood',
    alarms: [syn],
    overlay: samplesOf(START, END),
    direct: samplesOf(START, END),
  });
  expect(judgeDrill(right)).toMatchObject({
    verdict: true,
    detectedMs: 210,
    detectedClass: 'syn-flood',
    falseClasses: [],
  });
  const other = judgeDrill({ ...right, alarms: [alarmAt(FLOOD + 100), syn] });
  expect(other).toMatchObject({ verdict: false, detectedClass: 'udp-flood', falseClasses: ['udp-flood'] });
  expect(failedOf(other)).toEqual(['It is taken for nothing else.']);
  expect(failedOf(judgeDrill({ ...right, alarms: [{ ...syn, detectedAt: FLOOD + 501 }] }))).toEqual([
    'The attack is recognised as what it is within half a second.',
  ]);
  expect(failedOf(judgeDrill({ ...right, move: undefined }))).toContain('The service moves away from it.');
});
