import { latency } from '../format.ts';
import { nodesUp, serviceInFocus, servicesByName } from '../model/reading.ts';
import { LatencyChart } from '../parts/LatencyChart.tsx';
import { Nothing } from '../parts/Nothing.tsx';
import { useCollection, useConsole } from '../store/console-store.ts';
import { type LatencySample, useTelemetry } from '../store/telemetry-store.ts';
import { useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';
import { Room } from './Room.tsx';

/** Direct against overlay, live, with the figures that matter in large. */
export function LatencyView() {
  const telemetry = useTelemetry();
  const chosen = useUi((ui) => ui.service);
  const choose = useUi((ui) => ui.chooseService);
  const services = servicesByName(useCollection('services'));
  const focus = useConsole((store) => serviceInFocus(store.state, chosen)?.id ?? null);
  const nodes = useConsole((store) => nodesUp(store.state));
  const path = useConsole((store) => (focus === null ? null : store.state.services[focus]?.path));
  const service = focus ?? telemetry.services()[0] ?? null;
  if (service === null || telemetry.services().length === 0)
    return (
      <Room title={text.latency.title}>
        <Nothing icon="latency" title={text.latency.empty} hint={text.latency.emptyHint} />
      </Room>
    );
  const overlay = telemetry.latency(service, 'overlay');
  const direct = telemetry.latency(service, 'direct');
  return (
    <Room
      title={text.latency.title}
      wide
      actions={
        services.length > 1 ? (
          <select
            aria-label={text.answer.service}
            value={service}
            onChange={(event) => choose(event.target.value)}
          >
            {services.map((one) => (
              <option key={one.id}>{one.id}</option>
            ))}
          </select>
        ) : (
          <span className="muted">{service}</span>
        )
      }
    >
      <div className="latency-figures">
        <PathFigures path="overlay" samples={overlay} />
        <PathFigures path="direct" samples={direct} />
        <Ratio overlay={overlay.at(-1)} direct={direct.at(-1)} />
      </div>
      {path && (
        <p className="muted">
          {text.latency.path(text.service.paths.name(path), text.service.paths.secrecy(path, nodes))}
        </p>
      )}
      <LatencyChart service={service} />
      <p className="muted chart-legend">
        <span>{text.latency.axis}</span>
        <span>{text.latency.legendP50}</span>
        <span>× {text.latency.legendFailed}</span>
      </p>
    </Room>
  );
}

function PathFigures({ path, samples }: { path: 'overlay' | 'direct'; samples: LatencySample[] }) {
  const last = samples.at(-1);
  const failures = samples.reduce((sum, sample) => sum + sample.failures, 0);
  const requests = samples.reduce((sum, sample) => sum + sample.count, 0);
  const median = last?.p50Ms == null ? null : latency(last.p50Ms);
  const p95 = last?.p95Ms == null ? null : latency(last.p95Ms);
  return (
    <section className="path-figures" data-path={path} aria-label={text.latency[path]}>
      <h2>{text.latency.titles[path]}</h2>
      <p className="big">
        {median ? (
          <>
            {median.figure} <span>{median.unit}</span>
          </>
        ) : (
          <span>{text.latency.waiting}</span>
        )}
      </p>
      <dl className="inline-facts">
        <div>
          <dt>{text.latency.p95}</dt>
          <dd>{p95 ? `${p95.figure} ${p95.unit}` : '–'}</dd>
        </div>
        <div>
          <dt>{text.latency.requests}</dt>
          <dd>{requests.toLocaleString('en')}</dd>
        </div>
        <div data-bad={failures > 0}>
          <dt>{text.latency.failures}</dt>
          <dd>{failures}</dd>
        </div>
      </dl>
    </section>
  );
}

function Ratio({
  overlay,
  direct,
}: {
  overlay: LatencySample | undefined;
  direct: LatencySample | undefined;
}) {
  const a = overlay?.p50Ms ?? null;
  const b = direct?.p50Ms ?? null;
  const ratio = a !== null && b !== null && a > 0 && b > 0 ? a / b : null;
  return (
    <section className="path-figures" aria-label={text.latency.ratio}>
      <h2>{text.latency.ratio}</h2>
      <p className="big">
        {ratio === null ? (
          <span>–</span>
        ) : ratio >= 1 ? (
          `${ratio.toFixed(1)}×`
        ) : (
          `1/${(1 / ratio).toFixed(1)}`
        )}
      </p>
      <p className="muted">
        {ratio === null
          ? text.latency.ratioNone
          : ratio >= 1
            ? text.latency.ratioWorse
            : text.latency.ratioBetter}
      </p>
    </section>
  );
}
