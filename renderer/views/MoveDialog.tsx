import { useId, useState } from 'react';
import { type MovePhaseName, movePhaseNames } from '../../core/contract/domain.ts';
import { place } from '../format.ts';
import { loadOf, possibleTargets, predictedOutage, preflightOutage } from '../model/reading.ts';
import { Dialog } from '../parts/Dialog.tsx';
import { startMove } from '../store/commands.ts';
import { useConsole, useMayAct } from '../store/console-store.ts';
import { useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';

const pausable = movePhaseNames.filter((phase) => phase !== 'prepare');

/** Confirms a move by hand: where to, what it will cost, what stays behind, how to undo it. */
export function MoveDialog({ service: id, to }: { service: string; to: string | null }) {
  const state = useConsole((store) => store.state);
  const open = useUi((ui) => ui.open);
  const mayAct = useMayAct();
  const field = useId();
  const [target, setTarget] = useState(to);
  const [pauseAt, setPauseAt] = useState<MovePhaseName | ''>('');
  const [busy, setBusy] = useState(false);
  const service = state.services[id];
  if (!service) return null;
  const targets = possibleTargets(state, service);
  const offered =
    to !== null && !targets.some((site) => site.id === to) && state.sites[to]
      ? [state.sites[to], ...targets]
      : targets;
  const predicted = predictedOutage(state, id);
  const rehearsed = preflightOutage(state, id, target);

  const confirm = async () => {
    setBusy(true);
    const answer = await startMove({
      service: id,
      ...(target === null ? {} : { to: target }),
      ...(pauseAt === '' ? {} : { pauseAt }),
    });
    setBusy(false);
    if (answer) open(null);
  };

  return (
    <Dialog title={text.move.dialog(id)} onClose={() => open(null)}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void confirm();
        }}
      >
        <fieldset className="targets">
          <legend>{text.move.target}</legend>
          {offered.length === 0 && <p className="muted">{text.move.noTarget}</p>}
          {targets.length > 0 && (
            <label className="target">
              <input type="radio" name={field} checked={target === null} onChange={() => setTarget(null)} />
              <span>{text.move.random(targets.length)}</span>
              <span className="muted">{text.move.randomHint}</span>
            </label>
          )}
          {offered.map((site) => (
            <label key={site.id} className="target">
              <input
                type="radio"
                name={field}
                checked={target === site.id}
                onChange={() => setTarget(site.id)}
              />
              <span>{place(site.id)}</span>
              <span className="muted figures">
                {site.attacked
                  ? text.map.attacked
                  : text.map.link(Math.round(loadOf(site.primaryInMbit, site.primaryCapacityMbit) * 100))}
              </span>
            </label>
          ))}
        </fieldset>
        <h3>{text.move.consequence}</h3>
        <dl className="facts">
          <dt>{text.move.outage}</dt>
          <dd>
            {rehearsed
              ? text.move.outagePredicted(rehearsed.ms, rehearsed.basis)
              : predicted
                ? text.move.outageKnown(predicted.ms, predicted.from)
                : text.move.outageUnknown}
          </dd>
          <dt>{text.move.sessions}</dt>
          <dd>{text.move.sessionsValue(service.sessions)}</dd>
          <dt>{text.move.behind}</dt>
          <dd>
            {service.staysBehind.length > 0
              ? text.move.behindValue(service.staysBehind.join(', '), service.homeSite)
              : text.proposal.nothingBehind}
          </dd>
          <dt>{text.move.undo}</dt>
          <dd>{text.move.undoValue(service.site)}</dd>
          <dt>
            <label htmlFor={`${field}-pause`}>{text.move.pause}</label>
          </dt>
          <dd>
            <select
              id={`${field}-pause`}
              value={pauseAt}
              onChange={(event) => setPauseAt(event.target.value as MovePhaseName | '')}
            >
              <option value="">{text.move.pauseNone}</option>
              {pausable.map((phase) => (
                <option key={phase} value={phase}>
                  {text.phases.name[phase]}
                </option>
              ))}
            </select>
            {pauseAt !== '' && <span className="muted"> {text.move.pauseHint}</span>}
          </dd>
        </dl>
        <div className="actions end">
          <button type="button" className="button" onClick={() => open(null)}>
            {text.cancel}
          </button>
          <button
            type="submit"
            className="button decide"
            data-autofocus
            disabled={!mayAct || busy || offered.length === 0}
          >
            {text.move.confirm(target)}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
