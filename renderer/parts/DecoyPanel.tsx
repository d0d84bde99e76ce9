import { useState } from 'react';
import type { DecoyView } from '../../core/contract/decoy-view.ts';
import type { Service } from '../../core/contract/domain.ts';
import { run } from '../store/commands.ts';
import { text } from '../text.ts';

const words = text.service.decoy;

/** What anybody gets at the old address of a service that is away, beside the truth. */
export function DecoyPanel({ service }: { service: Service }) {
  const [view, setView] = useState<DecoyView | null>(null);
  const [asked, setAsked] = useState(false);
  const look = () => {
    setAsked(true);
    void run('decoy.show', { service: service.id }).then((found) => {
      setAsked(false);
      if (found) setView(found);
    });
  };
  return (
    <section aria-label={words.title}>
      <h3>
        {words.title}{' '}
        <button type="button" className="link muted" disabled={asked} onClick={look}>
          {words.look}
        </button>
      </h3>
      {view && (
        <dl className="facts">
          <dt>{words.seen}</dt>
          <dd>
            {view.seen.answered
              ? words.answer(view.seen.status ?? 0, view.seen.bytes, view.seen.milliseconds)
              : words.none}{' '}
            <span className="muted">{view.seen.excerpt}</span>
          </dd>
          <dt>{words.truth}</dt>
          <dd>{words.truthIs(view.truth.site, view.truth.answeredBy)}</dd>
          {view.decoy && (
            <>
              <dt>{words.asks}</dt>
              <dd className="figures">{words.asked(view.decoy.requests, view.decoy.connections)}</dd>
            </>
          )}
        </dl>
      )}
    </section>
  );
}
