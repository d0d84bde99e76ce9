import { useState } from 'react';
import type { Visitor } from '../../core/contract/domain.ts';
import { time } from '../format.ts';
import { visitorsAt, visitorsMatching } from '../model/admission.ts';
import { Nothing } from '../parts/Nothing.tsx';
import { StateWord } from '../parts/StateWord.tsx';
import { useNow } from '../parts/use-now.ts';
import { useCollection, useMayAct } from '../store/console-store.ts';
import { useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';

const words = text.visitors;

/** Everybody who is in by a test or a password: where, to what, until when; and revoking one of them. */
export function VisitorList() {
  const visitors = useCollection('visitors');
  const now = useNow(1_000);
  const [search, setSearch] = useState('');
  const all = visitorsAt(visitors, now);
  const shown = visitorsMatching(all, search);
  if (all.length === 0) return <Nothing icon="credentials" title={words.empty} hint={words.emptyHint} />;
  return (
    <>
      <div className="filters">
        <input
          type="search"
          aria-label={words.search}
          placeholder={words.search}
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
      </div>
      {shown.length === 0 ? (
        <Nothing icon="search" title={words.noMatch} hint={words.noMatchHint} />
      ) : (
        <VisitorTable shown={shown} now={now} />
      )}
    </>
  );
}

function VisitorTable({ shown, now }: { shown: readonly Visitor[]; now: number }) {
  const mayAct = useMayAct();
  const open = useUi((ui) => ui.open);
  const { columns } = words;
  return (
    <table className="table">
      <thead>
        <tr>
          <th scope="col">{columns.name}</th>
          <th scope="col">{columns.method}</th>
          <th scope="col">{columns.accessPoint}</th>
          <th scope="col">{columns.scope}</th>
          <th scope="col">{columns.until}</th>
          <th scope="col">{columns.serial}</th>
          <th scope="col">{columns.state}</th>
          <th scope="col">
            <span className="unseen">{columns.actions}</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {shown.map((visitor) => {
          const revoked = visitor.revokedAt !== null;
          return (
            <tr key={visitor.id} data-past={revoked}>
              <td>{visitor.name}</td>
              <td>{words.method[visitor.method] ?? visitor.method}</td>
              <td>{visitor.accessPoint}</td>
              <td>{visitor.services.join(', ')}</td>
              <td className="figures">
                {text.credential.in(visitor.until - now)} <span className="muted">{time(visitor.until)}</span>
              </td>
              <td>
                <code title={visitor.id}>{visitor.id.slice(0, 16)}</code>
              </td>
              <td>
                <StateWord tone={revoked ? 'attack' : 'good'}>
                  {words.state[revoked ? 'revoked' : 'in']}
                </StateWord>
                {visitor.revokedAt !== null && (
                  <span className="muted"> {text.credential.ago(Math.max(0, now - visitor.revokedAt))}</span>
                )}
              </td>
              <td className="number">
                {!revoked && (
                  <button
                    type="button"
                    className="button small"
                    disabled={!mayAct}
                    aria-label={`${words.revoke} ${visitor.name}`}
                    onClick={() => open({ kind: 'revoke-visitor', serial: visitor.id })}
                  >
                    {words.revoke}
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
