import { useState } from 'react';
import type { Proposal } from '../../core/contract/domain.ts';
import { place, withPlaces } from '../format.ts';
import { approve, decline } from '../store/commands.ts';
import { useCollection, useMayAct } from '../store/console-store.ts';
import { text } from '../text.ts';
import { useNow } from './use-now.ts';

/** A decision: why, where to, what it costs, what stays behind, how to undo it. */
export function ProposalCard({ proposal }: { proposal: Proposal }) {
  const mayAct = useMayAct();
  const sites = useCollection('sites');
  const [asked, setAsked] = useState(false);
  const now = useNow(1_000);
  const decide = (how: typeof approve | typeof decline) => {
    setAsked(true);
    void how(proposal.id).then((answer) => answer === null && setAsked(false));
  };
  return (
    <article className="proposal" data-decision aria-labelledby={`proposal-${proposal.id}`}>
      <h3 id={`proposal-${proposal.id}`}>{text.proposal.title(proposal)}</h3>
      {proposal.reasons.map((reason) => (
        <p key={reason} className="reason">
          {withPlaces(reason, sites)}
        </p>
      ))}
      <dl className="facts">
        <dt>{text.proposal.to}</dt>
        <dd>{place(proposal.to)}</dd>
        <dt>{text.proposal.outage}</dt>
        <dd>
          {text.proposal.outageValue(proposal)} <span className="muted">{proposal.predictedFrom}</span>
        </dd>
        <dt>{text.proposal.sessions}</dt>
        <dd>{text.proposal.sessionsValue(proposal.sessions)}</dd>
        <dt>{text.proposal.behind}</dt>
        <dd>{proposal.staysBehind.join(', ') || text.proposal.nothingBehind}</dd>
        {proposal.deadlineAt ? (
          <>
            <dt>{text.proposal.deadline}</dt>
            <dd className="figures">{text.proposal.deadlineValue(proposal, now)}</dd>
          </>
        ) : null}
        <dt>{text.proposal.undo}</dt>
        <dd>{withPlaces(proposal.undo, sites)}</dd>
      </dl>
      <div className="actions">
        <button
          type="button"
          className="button decide"
          disabled={!mayAct || asked}
          onClick={() => decide(approve)}
        >
          {text.proposal.approve}
        </button>
        <button type="button" className="button" disabled={!mayAct || asked} onClick={() => decide(decline)}>
          {text.proposal.decline}
        </button>
        <span className="muted figures">{text.proposal.waited(Math.max(0, now - proposal.createdAt))}</span>
      </div>
    </article>
  );
}
