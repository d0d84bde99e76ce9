import { useState } from 'react';
import type { Drill } from '../../core/contract/domain.ts';
import { bytes, clock, day, duration, place, time } from '../format.ts';
import { type Bar, type PersonFigures, readReport } from '../model/drill-report.ts';
import { Icon } from '../parts/Icon.tsx';
import { StateWord, type Tone } from '../parts/StateWord.tsx';
import { useNow } from '../parts/use-now.ts';
import { saveFile } from '../save.ts';
import { text } from '../text.ts';

const words = text.drill;

function wordOf(drill: Drill): { tone: Tone; word: string } {
  if (drill.state === 'judged')
    return drill.verdict
      ? { tone: 'good', word: words.verdictTrue }
      : { tone: 'attack', word: words.verdictFalse };
  if (drill.state === 'failed') return { tone: 'attack', word: words.state.failed };
  if (drill.state === 'aborted') return { tone: 'past', word: words.state.aborted };
  return { tone: 'decision', word: words.state[drill.state] };
}

const stages = ['preparing', 'quiet', 'attack', 'tail', 'judged'] as const;

/** One drill: its hypothesis, how far it is, its verdict with every bar. */
export function DrillCard({ drill, open }: { drill: Drill; open: boolean }) {
  const [toggled, setToggled] = useState<boolean | null>(null);
  const shown = toggled ?? open;
  const running = drill.endedAt === null && stages.slice(0, 4).some((stage) => stage === drill.state);
  const now = useNow(250, running);
  const { tone, word } = wordOf(drill);
  const name = words.kinds[drill.kind] ?? drill.kind;
  return (
    <article className="card drill-card" aria-label={`${name}, ${word}`}>
      <header>
        <button type="button" className="fold" aria-expanded={shown} onClick={() => setToggled(!shown)}>
          <Icon name="chevron" size={14} />
          <h3>{name}</h3>
        </button>
        <StateWord tone={tone}>{word}</StateWord>
        <span className="muted figures">
          {`${place(drill.site)} · ${day(drill.startedAt)}, ${time(drill.startedAt)}`}
          {running && ` · ${clock(now - drill.startedAt)}`}
        </span>
      </header>
      {running && (
        <ol className="stages" aria-label={word}>
          {stages.map((stage) => (
            <li
              key={stage}
              data-done={stages.indexOf(stage) < (stages as readonly string[]).indexOf(drill.state)}
              aria-current={stage === drill.state ? 'step' : undefined}
            >
              {words.state[stage]}
            </li>
          ))}
        </ol>
      )}
      {shown && (
        <>
          {words.hypotheses[drill.kind] && (
            <p className="hypothesis">
              <span className="muted">{words.hypothesis}</span> {words.hypotheses[drill.kind]}
            </p>
          )}
          {running && drill.broughtHomeFrom && (
            <p className="muted">
              {words.broughtHome(drill.broughtHomeFrom, drill.kind === 'node-flood' ? null : drill.site)}
            </p>
          )}
          {drill.error && (
            <p className="fault">
              {drill.error.message} <code>{drill.error.code}</code>
            </p>
          )}
          {drill.report && <Report drill={drill} report={drill.report} />}
        </>
      )}
    </article>
  );
}

function Report({ drill, report }: { drill: Drill; report: Record<string, unknown> }) {
  const read = readReport(report);
  return (
    <>
      <table className="table bars">
        <thead>
          <tr>
            <th scope="col">{words.what}</th>
            <th scope="col" className="number">
              {words.measured}
            </th>
            <th scope="col" className="number">
              {words.bar}
            </th>
            <th scope="col">
              <span className="unseen">{words.met}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {read.bars.map((bar) => (
            <tr key={bar.what}>
              <td>
                {bar.what}
                <Gauge bar={bar} />
              </td>
              <td className="number">{bar.measured === null ? '–' : withUnit(bar.measured, bar.unit)}</td>
              <td className="number muted">
                {`${bar.comparison === 'atMost' ? '≤' : '≥'} ${withUnit(bar.bar, bar.unit)}`}
              </td>
              <td>
                <StateWord tone={bar.met ? 'good' : 'attack'}>{bar.met ? words.met : words.missed}</StateWord>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <div className="people">
        <Person title={words.overlay} figures={read.overlay} path="overlay" />
        <Person title={words.direct} figures={read.direct} path="direct" />
      </div>
      {read.notes.map((note) => (
        <p key={note} className="muted">
          {note}
        </p>
      ))}
      <div className="actions">
        {read.decidedMs !== null && (
          <span className="muted figures">{`${words.bars.decided} ${duration(read.decidedMs)}`}</span>
        )}
        {read.stateBytes !== null && read.wireBytes !== null && (
          <span className="muted figures">{words.onWire(bytes(read.stateBytes), bytes(read.wireBytes))}</span>
        )}
        <button
          type="button"
          className="button small push"
          onClick={() =>
            saveFile(`drill-${drill.id}.json`, 'application/json', `${JSON.stringify(report, null, 2)}\n`)
          }
        >
          <Icon name="download" size={14} />
          {words.save}
        </button>
      </div>
    </>
  );
}

function withUnit(value: number, unit: string): string {
  if (unit === 'ms') return duration(value);
  const figure = Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 2 : 0);
  if (unit === 'times') return `${figure}×`;
  return unit === '' || unit.length > 10 ? figure : `${figure} ${unit}`;
}

/** The measured figure against its bar; the notch is the bar. */
function Gauge({ bar }: { bar: Bar }) {
  if (bar.measured === null || bar.bar <= 0) return null;
  const full = Math.max(bar.bar * 1.25, Math.min(bar.measured, bar.bar * 4));
  return (
    <span className="gauge" data-met={bar.met} aria-hidden="true">
      <span className="gauge-fill" style={{ width: `${Math.min(100, (bar.measured / full) * 100)}%` }} />
      <span className="gauge-bar" style={{ left: `${(bar.bar / full) * 100}%` }} />
    </span>
  );
}

function Person({ title, figures, path }: { title: string; figures: PersonFigures; path: string }) {
  const ms = (value: number | null) => (value === null ? '–' : duration(value));
  return (
    <section className="person" data-path={path} aria-label={title}>
      <h4>{title}</h4>
      <dl className="inline-facts">
        <div>
          <dt>{text.latency.requests}</dt>
          <dd>{figures.requests?.toLocaleString('en') ?? '–'}</dd>
        </div>
        <div data-bad={(figures.failures ?? 0) > 0}>
          <dt>{text.latency.failures}</dt>
          <dd>{figures.failures ?? '–'}</dd>
        </div>
        <div>
          <dt>{text.latency.p50}</dt>
          <dd>{ms(figures.p50Ms)}</dd>
        </div>
        <div>
          <dt>{text.latency.p95}</dt>
          <dd>{ms(figures.p95Ms)}</dd>
        </div>
        <div>
          <dt>{words.stall}</dt>
          <dd>{ms(figures.longestStallMs)}</dd>
        </div>
      </dl>
    </section>
  );
}
