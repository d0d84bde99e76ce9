import { useState } from 'react';
import { type Drill, drillKindSchema, type Flood } from '../../core/contract/domain.ts';
import { mbit, place } from '../format.ts';
import { consoleInfo, serviceInFocus, servicesByName } from '../model/reading.ts';
import { Icon } from '../parts/Icon.tsx';
import { Nothing } from '../parts/Nothing.tsx';
import { useNow } from '../parts/use-now.ts';
import { startDrill, startFlood, stopEverything } from '../store/commands.ts';
import { useCollection, useConsoleState, useMayAct } from '../store/console-store.ts';
import { useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';
import { DrillCard } from './DrillCard.tsx';
import { Room } from './Room.tsx';

const over = new Set<Drill['state']>(['judged', 'aborted', 'failed']);

/** Attacks inside the lab: the demo flood, and drills with a hypothesis and a verdict. */
export function DrillsView() {
  const drills = Object.values(useCollection('drills')).sort((a, b) => b.startedAt - a.startedAt);
  const running = drills.filter((drill) => !over.has(drill.state));
  const past = drills.filter((drill) => over.has(drill.state));
  return (
    <Room title={text.drill.title}>
      <div className="drill-starts">
        <DemoFlood />
        <DrillStarts busy={running.length > 0} />
      </div>
      {running.length > 0 && (
        <section aria-labelledby="drills-running">
          <h2 id="drills-running">{text.drill.running}</h2>
          {running.map((drill) => (
            <DrillCard key={drill.id} drill={drill} open />
          ))}
        </section>
      )}
      <section aria-labelledby="drills-past">
        <h2 id="drills-past">{text.drill.history}</h2>
        {past.length === 0 ? (
          <Nothing icon="drills" title={text.drill.empty} hint={text.drill.emptyHint} />
        ) : (
          past.map((drill, index) => (
            <DrillCard key={drill.id} drill={drill} open={index === 0 && running.length === 0} />
          ))
        )}
      </section>
    </Room>
  );
}

function DemoFlood() {
  const services = servicesByName(useCollection('services'));
  const floods = Object.values(useCollection('floods')).filter((flood) => flood.state === 'running');
  const halted = useConsoleState((state) => consoleInfo(state)?.halted ?? false);
  const mayAct = useMayAct();
  const [chosen, setChosen] = useState('');
  const [seconds, setSeconds] = useState('20');
  const inFocus = useUi((ui) => ui.service);
  const focus = useConsoleState((state) => serviceInFocus(state, inFocus)?.id);
  const service = chosen || focus;
  const length = Number(seconds);
  const valid = Number.isInteger(length) && length >= 1 && length <= 60;
  return (
    <section className="card" aria-labelledby="demo-flood">
      <h2 id="demo-flood">{text.drill.demo}</h2>
      <p className="muted">{text.drill.demoHint}</p>
      <form
        className="inline-form"
        onSubmit={(event) => {
          event.preventDefault();
          if (valid) void startFlood({ seconds: length, ...(service ? { service } : {}) });
        }}
      >
        <label className="field">
          <span>{text.drill.service}</span>
          <select value={service ?? ''} onChange={(event) => setChosen(event.target.value)}>
            {services.map((one) => (
              <option key={one.id} value={one.id}>{`${one.id} at ${place(one.site)}`}</option>
            ))}
          </select>
        </label>
        <label className="field">
          <span>{text.drill.seconds}</span>
          <input
            type="number"
            className="short"
            min={1}
            max={60}
            value={seconds}
            aria-invalid={!valid}
            onChange={(event) => setSeconds(event.target.value)}
          />
        </label>
        <button
          type="submit"
          className="button danger"
          disabled={!mayAct || halted || !valid || services.length === 0 || floods.length > 0}
        >
          {text.drill.startFlood}
        </button>
      </form>
      {floods.map((flood) => (
        <RunningFlood key={flood.id} flood={flood} />
      ))}
    </section>
  );
}

function RunningFlood({ flood }: { flood: Flood }) {
  const mayAct = useMayAct();
  const now = useNow(250);
  const left = Math.max(0, Math.ceil((flood.endsAt - now) / 1_000));
  const share = Math.min(1, Math.max(0, (now - flood.startedAt) / (flood.endsAt - flood.startedAt)));
  return (
    <div className="running-flood">
      <Icon name="attack" />
      <strong>{text.drill.floodOn(flood.site)}</strong>
      <span className="figures">{`${mbit(flood.offeredMbit)} ${text.drill.offered}`}</span>
      <progress value={share} max={1} aria-label={text.drill.floodOn(flood.site)} />
      <span className="figures">{text.drill.floodLeft(left)}</span>
      <button type="button" className="button small" disabled={!mayAct} onClick={() => void stopEverything()}>
        {text.stop.button}
      </button>
    </div>
  );
}

function DrillStarts({ busy }: { busy: boolean }) {
  const mayAct = useMayAct();
  const halted = useConsoleState((state) => consoleInfo(state)?.halted ?? false);
  const [kind, setKind] = useState<(typeof drillKindSchema.options)[number]>('udp-flood');
  return (
    <section className="card" aria-labelledby="start-drill">
      <h2 id="start-drill">{text.drill.run}</h2>
      <div className="segments" role="radiogroup" aria-labelledby="start-drill">
        {drillKindSchema.options.map((one) => (
          <label key={one}>
            <input type="radio" name="drill-kind" checked={kind === one} onChange={() => setKind(one)} />
            <span>{text.drill.kinds[one]}</span>
          </label>
        ))}
      </div>
      <p className="muted">{text.drill.hypotheses[kind]}</p>
      <div className="actions">
        <button
          type="button"
          className="button primary"
          disabled={!mayAct || halted || busy}
          onClick={() => void startDrill({ kind })}
        >
          {text.drill.run}
        </button>
        <span className="muted">{text.drill.bounds}</span>
      </div>
    </section>
  );
}
