import { useState } from 'react';
import type { Service } from '../../core/contract/domain.ts';
import type { Preflight, SiteOutlook } from '../../core/contract/preflight.ts';
import { bytes, duration, place, time, withPlaces } from '../format.ts';
import { StateWord } from '../parts/StateWord.tsx';
import { rehearse } from '../store/commands.ts';
import { useConsole, useMayAct } from '../store/console-store.ts';
import { text } from '../text.ts';

const tones = { moves: 'good', blocked: 'attack', nowhere: 'decision' } as const;

/** Will it move? What the newest preflight found, what it predicts for each site, and a new rehearsal. */
export function PreflightPanel({ service }: { service: Service }) {
  const mayAct = useMayAct();
  const preflight = useConsole((store) => store.state.preflights[service.id]);
  const [busy, setBusy] = useState(false);
  const words = text.preflight;
  const begin = async () => {
    setBusy(true);
    await rehearse(service.id);
    setBusy(false);
  };
  return (
    <section className="preflight">
      <h3>
        {words.title}{' '}
        {preflight && (
          <StateWord tone={tones[preflight.verdict]}>{words.verdict[preflight.verdict]}</StateWord>
        )}
      </h3>
      {preflight ? <Found preflight={preflight} service={service} /> : <p className="muted">{words.none}</p>}
      <div className="actions">
        <button
          type="button"
          className="button"
          disabled={!mayAct || busy || service.state !== 'running'}
          onClick={() => void begin()}
        >
          {busy ? words.rehearsing : words.rehearse}
        </button>
        <span className="muted">{words.consequence}</span>
      </div>
    </section>
  );
}

function Found({ preflight, service }: { preflight: Preflight; service: Service }) {
  const words = text.preflight;
  const { rehearsal, findings } = preflight;
  const known = useConsole((store) => store.state.sites);
  return (
    <>
      {findings.map((finding) => (
        <p key={`${finding.code} ${finding.subject}`} data-severity={finding.severity}>
          {finding.message}
        </p>
      ))}
      {rehearsal && (
        <p className="muted">
          {words.rehearsed(
            time(rehearsal.at),
            duration(rehearsal.silentMs),
            bytes(rehearsal.stateBytes),
            bytes(rehearsal.wireBytes),
          )}
        </p>
      )}
      {preflight.site !== service.site && <p className="muted">{words.stale(place(preflight.site))}</p>}
      <table className="table">
        <thead>
          <tr>
            <th>{words.columns.site}</th>
            <th className="number">{words.columns.outage}</th>
            <th className="number">{words.columns.roundTrip}</th>
            <th>{words.columns.note}</th>
          </tr>
        </thead>
        <tbody>
          {preflight.sites.map((site) => (
            <tr key={site.site}>
              <td>{place(site.site)}</td>
              <td className="number">
                {site.predictedOutageMs === null ? '–' : duration(site.predictedOutageMs)}
              </td>
              <td className="number">{site.roundTripMs === null ? '–' : duration(site.roundTripMs)}</td>
              <td className={site.usable ? 'muted' : ''}>{withPlaces(noteOf(site), known)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

/** What stands against a site, else what its figure rests on. */
function noteOf(site: SiteOutlook): string {
  return site.findings.length > 0
    ? site.findings.map(({ message }) => message).join(' ')
    : text.preflight.from(site.basis);
}
