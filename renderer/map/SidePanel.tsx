import type { Move } from '../../core/contract/domain.ts';
import { place } from '../format.ts';
import { latestMove, serviceInFocus, waitingProposals } from '../model/reading.ts';
import { JournalList, newestFirst } from '../parts/JournalList.tsx';
import { LatencyChart } from '../parts/LatencyChart.tsx';
import { ProposalCard } from '../parts/ProposalCard.tsx';
import { useNow } from '../parts/use-now.ts';
import { Waterfall } from '../parts/Waterfall.tsx';
import { useCollection, useConsole } from '../store/console-store.ts';
import { useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';
import { Answer } from './Answer.tsx';

/** The answer in figures, what is asked, the phases, the latency, what was written last. */
export function SidePanel() {
  const chosen = useUi((ui) => ui.service);
  const show = useUi((ui) => ui.show);
  const service = useConsole((store) => serviceInFocus(store.state, chosen));
  const move = useConsole((store) => (service ? latestMove(store.state, service.id) : null));
  const waiting = waitingProposals(useCollection('proposals'));
  const events = newestFirst(useCollection('events')).slice(0, 8);
  const first = waiting[0];
  return (
    <aside className="side" aria-label={text.answer.label}>
      <div className="side-scroll">
        <Answer service={service} move={move} />
        <section>
          <h2>
            {text.phases.title} {move && <PhasesOf move={move} />}
          </h2>
          {move ? <Waterfall move={move} /> : <p className="muted">{text.phases.none}</p>}
        </section>
        <section>
          <h2>
            {text.latency.title} <span className="muted">{text.latency.last}</span>
          </h2>
          {service ? (
            <LatencyChart service={service.id} mini />
          ) : (
            <p className="muted">{text.latency.empty}</p>
          )}
        </section>
        <section className="side-journal">
          <h2>
            <button type="button" className="link" onClick={() => show('journal')}>
              {text.journal.latest}
            </button>
          </h2>
          {events.length > 0 ? (
            <JournalList events={events} />
          ) : (
            <p className="muted">{text.journal.empty}</p>
          )}
        </section>
      </div>
      {first && (
        <div className="side-decision">
          <ProposalCard key={first.id} proposal={first} />
          {waiting.length > 1 && (
            <button type="button" className="link" onClick={() => show('moves')}>
              {text.proposal.more(waiting.length - 1)}
            </button>
          )}
        </div>
      )}
    </aside>
  );
}

/** Which move the phases belong to, so that an old one is not taken for the present. */
function PhasesOf({ move }: { move: Move }) {
  const now = useNow(10_000);
  const ago = now - move.startedAt;
  return (
    <span className="muted">
      {`${place(move.from)} → ${place(move.to)}`}
      {ago > 60_000 && `, ${text.credential.ago(ago)}`}
    </span>
  );
}
