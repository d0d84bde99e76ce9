import {
  type MovePolicy,
  movePolicySchema,
  pathPolicySchema,
  type Service,
  type ServicePath,
} from '../../core/contract/domain.ts';
import { place } from '../format.ts';
import { latestMove, nodesUp, servicesByName } from '../model/reading.ts';
import { DecoyPanel } from '../parts/DecoyPanel.tsx';
import { LatencyChart } from '../parts/LatencyChart.tsx';
import { Nothing } from '../parts/Nothing.tsx';
import { ResponseChoice } from '../parts/ResponseChoice.tsx';
import { StateWord } from '../parts/StateWord.tsx';
import { Waterfall } from '../parts/Waterfall.tsx';
import { run, setPath } from '../store/commands.ts';
import { useCollection, useConsole, useMayAct } from '../store/console-store.ts';
import { useUi } from '../store/ui-store.ts';
import { type AdmissionKnown, useAdmission } from '../store/use-admission.ts';
import { text } from '../text.ts';
import { PreflightPanel } from './PreflightPanel.tsx';
import { Room } from './Room.tsx';
import { WaysIn } from './WaysIn.tsx';

/** Every service: where it lives, who decides, and the move by hand. */
export function ServicesView() {
  const services = servicesByName(useCollection('services'));
  const admission = useAdmission();
  return (
    <Room title={text.service.title}>
      {services.length === 0 ? (
        <Nothing icon="services" title={text.service.empty} hint={text.service.emptyHint} />
      ) : (
        <div className="cards single">
          {services.map((service) => (
            <ServiceCard key={service.id} service={service} admission={admission} />
          ))}
        </div>
      )}
    </Room>
  );
}

const tones = { starting: 'muted', running: 'good', moving: 'decision', down: 'attack' } as const;

function ServiceCard({ service, admission }: { service: Service; admission: AdmissionKnown }) {
  const mayAct = useMayAct();
  const open = useUi((ui) => ui.open);
  const show = useUi((ui) => ui.show);
  const attacked = useConsole((store) => store.state.sites[service.site]?.attacked ?? false);
  const move = useConsole((store) => latestMove(store.state, service.id));
  const away = service.site !== service.homeSite;
  return (
    <article className="card service-card" aria-labelledby={`service-${service.id}`} data-attacked={attacked}>
      <header>
        <h2 id={`service-${service.id}`}>{service.id}</h2>
        <StateWord tone={tones[service.state]}>{text.service.state[service.state]}</StateWord>
        {attacked && <StateWord tone="attack">{text.map.attacked}</StateWord>}
      </header>
      <div className="service-column">
        <div className="service-figures">
          <p>
            <strong>{place(service.site)}</strong>
            <span>{away ? text.answer.awayFrom(service.homeSite) : text.service.atHome}</span>
          </p>
          <p>
            <strong>{service.sessions}</strong>
            <span>{text.answer.sessionsOpen(service.sessions)}</span>
          </p>
          <p>
            <strong>{service.epoch}</strong>
            <span>{text.service.epoch.toLowerCase()}</span>
          </p>
        </div>
        <dl className="facts">
          <dt>{text.service.path}</dt>
          <dd>
            {service.route.length > 0
              ? [...service.route, place(service.site)].join(' → ')
              : text.service.noPath}
          </dd>
          <dt>{text.service.behind}</dt>
          <dd>{service.staysBehind.join(', ') || text.proposal.nothingBehind}</dd>
          {service.usage && (
            <>
              <dt>{text.service.usage}</dt>
              <dd>{text.service.usageValue(service.usage)}</dd>
            </>
          )}
        </dl>
        <PolicyChoice service={service} />
        <ResponseChoice service={service} />
        <PathChoice service={service} />
        <div className="actions">
          <button
            type="button"
            className="button primary"
            disabled={!mayAct || service.state !== 'running'}
            onClick={() => open({ kind: 'move', service: service.id, to: null })}
          >
            {text.move.now}
          </button>
          {away && (
            <button
              type="button"
              className="button"
              disabled={!mayAct || service.state !== 'running'}
              onClick={() => open({ kind: 'move', service: service.id, to: service.homeSite })}
            >
              {text.move.back}
            </button>
          )}
        </div>
        <PreflightPanel service={service} />
      </div>
      <div className="service-column">
        <section>
          <h3>
            {text.service.latestMove}{' '}
            {move && (
              <button type="button" className="link muted" onClick={() => show('moves')}>
                {`${place(move.from)} → ${place(move.to)}, ${text.move.state[move.state]}`}
              </button>
            )}
          </h3>
          {move ? <Waterfall move={move} /> : <p className="muted">{text.phases.none}</p>}
        </section>
        <section>
          <h3>
            {text.latency.title} <span className="muted">{text.latency.last}</span>
          </h3>
          <LatencyChart service={service.id} mini />
        </section>
        <WaysIn service={service} known={admission} />
        {away && <DecoyPanel service={service} />}
      </div>
    </article>
  );
}

function PolicyChoice({ service }: { service: Service }) {
  const mayAct = useMayAct();
  const set = (policy: MovePolicy) =>
    void run('service.policy', { service: service.id, policy }, (o) =>
      text.service.policySet(o.service, text.service.policies[o.policy]),
    );
  return (
    <fieldset className="choice">
      <legend>{text.service.policy}</legend>
      <div className="segments">
        {movePolicySchema.options.map((policy) => (
          <label key={policy}>
            <input
              type="radio"
              name={`policy-${service.id}`}
              checked={service.policy === policy}
              disabled={!mayAct}
              onChange={() => set(policy)}
            />
            <span>{text.service.policies[policy]}</span>
          </label>
        ))}
      </div>
      <p className="muted">{text.service.policyHint[service.policy]}</p>
    </fieldset>
  );
}

/** How people's sessions travel, and in one sentence what that keeps secret in an overlay of this size. */
function PathChoice({ service }: { service: Service }) {
  const mayAct = useMayAct();
  const nodes = useConsole((store) => nodesUp(store.state));
  const set = (path: ServicePath) => void setPath(service.id, path);
  const { policy, nearest } = service.path;
  return (
    <fieldset className="choice">
      <legend>{text.service.paths.title}</legend>
      <div className="path-choice">
        <div className="segments">
          {pathPolicySchema.options.map((option) => (
            <label key={option}>
              <input
                type="radio"
                name={`path-${service.id}`}
                checked={policy === option}
                disabled={!mayAct}
                onChange={() => set({ policy: option, nearest: 1 })}
              />
              <span>{text.service.paths.policies[option]}</span>
            </label>
          ))}
        </div>
        {policy === 'two-hop' && (
          <label>
            {text.service.paths.servlet}{' '}
            <select
              value={nearest}
              disabled={!mayAct}
              onChange={(event) => set({ policy, nearest: Number(event.target.value) })}
            >
              {nearestOffered(nearest).map((count) => (
                <option key={count} value={count}>
                  {text.service.paths.nearest(count)}
                </option>
              ))}
            </select>
          </label>
        )}
      </div>
      <p className="muted">{text.service.paths.secrecy(service.path, nodes)}</p>
    </fieldset>
  );
}

const nearestOffered = (present: number): number[] =>
  [...new Set([1, 2, 3, 5, present])].sort((a, b) => a - b);
