import { useEffect, useState } from 'react';
import type { Credential } from '../../core/contract/domain.ts';
import { day } from '../format.ts';
import { Nothing } from '../parts/Nothing.tsx';
import { StateWord, type Tone } from '../parts/StateWord.tsx';
import { useNow } from '../parts/use-now.ts';
import { ask } from '../store/commands.ts';
import { useCollection, useMayAct } from '../store/console-store.ts';
import { sayError, useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';

type CredentialState = keyof typeof text.credential.state;
const soonMs = 3 * 86_400_000;

/** What a certificate is worth at a moment. */
export function stateOf(credential: Credential, now: number): CredentialState {
  if (credential.revokedAt !== null) return 'revoked';
  if (credential.notAfter <= now) return 'expired';
  const short = credential.notAfter - credential.notBefore < soonMs * 2;
  return !short && credential.notAfter - now < soonMs ? 'soon' : 'valid';
}

const tones: Record<CredentialState, Tone> = {
  valid: 'good',
  soon: 'decision',
  revoked: 'attack',
  expired: 'past',
};

/** All certificates: search, revoke. */
export function CertificateList() {
  const live = useCollection('credentials');
  const mayAct = useMayAct();
  const now = useNow(10_000);
  const [search, setSearch] = useState('');
  const [showExpired, setShowExpired] = useState(false);
  const [showHosts, setShowHosts] = useState(false);
  const [old, setOld] = useState<Credential[]>([]);

  useEffect(() => {
    if (!showExpired) return;
    ask('credential.list', { includeExpired: true }).then((o) => setOld(o.credentials), sayError);
  }, [showExpired]);

  const all = new Map<string, Credential>();
  if (showExpired) for (const credential of old) all.set(credential.id, credential);
  for (const credential of Object.values(live)) all.set(credential.id, credential);
  const wanted = search.trim().toLowerCase();
  const shown = [...all.values()]
    .filter((credential) => showExpired || credential.notAfter > now)
    .filter((credential) => showHosts || wanted !== '' || credential.profile === 'client')
    .filter((credential) =>
      `${credential.name} ${credential.id} ${credential.profile} ${credential.services}`
        .toLowerCase()
        .includes(wanted),
    )
    .sort((a, b) => b.notBefore - a.notBefore);

  return (
    <>
      <div className="filters">
        <input
          type="search"
          aria-label={text.credential.search}
          placeholder={text.credential.search}
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
        <label className="check">
          <input
            type="checkbox"
            checked={showExpired}
            onChange={(event) => setShowExpired(event.target.checked)}
          />
          {text.credential.showExpired}
        </label>
        <label className="check">
          <input
            type="checkbox"
            checked={showHosts}
            onChange={(event) => setShowHosts(event.target.checked)}
          />
          {text.credential.showHosts}
        </label>
      </div>
      {all.size === 0 ? (
        <Nothing icon="credentials" title={text.credential.empty} hint={text.credential.emptyHint} />
      ) : shown.length === 0 ? (
        <Nothing icon="search" title={text.credential.noMatch} hint={text.credential.noMatchHint} />
      ) : (
        <CredentialTable shown={shown} now={now} mayAct={mayAct} />
      )}
    </>
  );
}

function CredentialTable({ shown, now, mayAct }: { shown: Credential[]; now: number; mayAct: boolean }) {
  const open = useUi((ui) => ui.open);
  const columns = text.credential.columns;
  return (
    <table className="table">
      <thead>
        <tr>
          <th scope="col">{columns.name}</th>
          <th scope="col">{columns.scope}</th>
          <th scope="col">{columns.expires}</th>
          <th scope="col">{columns.serial}</th>
          <th scope="col">{columns.state}</th>
          <th scope="col">
            <span className="unseen">{columns.actions}</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {shown.map((credential) => {
          const state = stateOf(credential, now);
          return (
            <tr key={credential.id} data-past={state === 'expired' || state === 'revoked'}>
              <td>
                {credential.name}{' '}
                <span className="muted">
                  {text.credential.profile[credential.profile] ?? credential.profile}
                </span>
              </td>
              <td>{credential.services === 'any' ? text.credential.any : credential.services.join(', ')}</td>
              <td className="figures" title={day(credential.notAfter)}>
                {credential.notAfter > now
                  ? text.credential.in(credential.notAfter - now)
                  : text.credential.ago(now - credential.notAfter)}
                <span className="muted"> {day(credential.notAfter)}</span>
              </td>
              <td>
                <code title={credential.fingerprint256}>{credential.id.slice(0, 16)}</code>
              </td>
              <td>
                <StateWord tone={tones[state]}>{text.credential.state[state]}</StateWord>
                {credential.revokedAt !== null && (
                  <span className="muted">
                    {' '}
                    {text.credential.ago(Math.max(0, now - credential.revokedAt))}
                  </span>
                )}
              </td>
              <td className="number">
                {(state === 'valid' || state === 'soon') && (
                  <button
                    type="button"
                    className="button small"
                    disabled={!mayAct}
                    aria-label={`${text.credential.revoke} ${credential.name}`}
                    onClick={() => open({ kind: 'revoke', serial: credential.id })}
                  >
                    {text.credential.revoke}
                  </button>
                )}
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
