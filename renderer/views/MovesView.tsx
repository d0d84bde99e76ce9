import { useState } from 'react';
import type { Move } from '../../core/contract/domain.ts';
import { bytes, day, duration, place, time, timeWithMs } from '../format.ts';
import { isUnderWay, newestMoves, queuedMoves, waitingProposals } from '../model/reading.ts';
import { Icon } from '../parts/Icon.tsx';
import { Nothing } from '../parts/Nothing.tsx';
import { ProposalCard } from '../parts/ProposalCard.tsx';
import { StateWord, type Tone } from '../parts/StateWord.tsx';
import { Waterfall } from '../parts/Waterfall.tsx';
import { cancelMove, continueMove } from '../store/commands.ts';
import { useCollection, useMayAct } from '../store/console-store.ts';
import { text } from '../text.ts';
import { Room } from './Room.tsx';

const tones: Record<Move['state'], Tone> = {
  queued: 'muted',
  running: 'decision',
  paused: 'decision',
  committed: 'decision',
  done: 'good',
  'rolled-back': 'past',
  failed: 'attack',
};

/** What waits for a decision, what is under way, what has been. */
export function MovesView() {
  const waiting = waitingProposals(useCollection('proposals'));
  const all = useCollection('moves');
  const moves = newestMoves(all);
  const queued = queuedMoves(all);
  const running = moves.filter(isUnderWay);
  const past = moves.filter((move) => !isUnderWay(move) && move.state !== 'queued');
  return (
    <Room title={text.views.moves}>
      <section aria-labelledby="to-decide">
        <h2 id="to-decide">{text.proposal.queue}</h2>
        {waiting.length === 0 ? (
          <p className="quiet-line">
            <Icon name="check" size={16} />
            <strong>{text.proposal.none}.</strong> <span className="muted">{text.proposal.noneHint}</span>
          </p>
        ) : (
          <div className="cards">
            {waiting.map((proposal) => (
              <ProposalCard key={proposal.id} proposal={proposal} />
            ))}
          </div>
        )}
      </section>
      {running.length > 0 && (
        <section aria-labelledby="under-way">
          <h2 id="under-way">{text.move.running}</h2>
          <div className="cards">
            {running.map((move) => (
              <RunningMove key={move.id} move={move} />
            ))}
          </div>
        </section>
      )}
      {queued.length > 0 && (
        <section aria-labelledby="queue">
          <h2 id="queue">{text.move.queue}</h2>
          <ol className="queue">
            {queued.map((move) => (
              <QueuedMove key={move.id} move={move} />
            ))}
          </ol>
        </section>
      )}
      <section aria-labelledby="history">
        <h2 id="history">{text.move.history}</h2>
        {past.length === 0 && running.length === 0 ? (
          <Nothing icon="moves" title={text.move.none} hint={text.move.noneHint} />
        ) : (
          <History moves={past} />
        )}
      </section>
    </Room>
  );
}

function QueuedMove({ move }: { move: Move }) {
  const mayAct = useMayAct();
  const all = useCollection('moves');
  const before = (move.waitsFor ?? []).flatMap((id) => all[id]?.service ?? []);
  return (
    <li aria-label={text.move.queued(move)}>
      <span>
        {move.service} <span className="muted">{`${place(move.from)} → ${place(move.to)}`}</span>
      </span>
      <span className="muted">{text.move.waitsFor(before)}</span>
      <button type="button" className="button" disabled={!mayAct} onClick={() => void cancelMove(move.id)}>
        {text.move.takeBack}
      </button>
    </li>
  );
}

function RunningMove({ move }: { move: Move }) {
  const mayAct = useMayAct();
  return (
    <article className="card" aria-label={text.answer.moving(move.from, move.to)}>
      <header>
        <h3>
          {move.service} <span className="muted">{`${place(move.from)} → ${place(move.to)}`}</span>
        </h3>
        <StateWord tone={tones[move.state]}>
          {move.state === 'paused' && move.pausedBefore
            ? text.move.pausedBefore(text.phases.name[move.pausedBefore])
            : text.move.state[move.state]}
        </StateWord>
      </header>
      <Waterfall move={move} />
      {move.progress && (
        <p className="figures">
          <progress
            aria-label={text.move.shipped}
            value={move.progress.bytes}
            max={Math.max(1, move.progress.totalBytes)}
          />{' '}
          {text.move.progress(move.progress)}
        </p>
      )}
      <MoveFault move={move} />
      <div className="actions">
        {move.state === 'paused' && (
          <button
            type="button"
            className="button decide"
            disabled={!mayAct}
            onClick={() => void continueMove(move.id)}
          >
            {text.move.continue}
          </button>
        )}
        {move.state !== 'committed' && (
          <button
            type="button"
            className="button"
            disabled={!mayAct}
            onClick={() => void cancelMove(move.id)}
          >
            {text.move.takeBack}
          </button>
        )}
        {move.predictedOutageMs !== null && (
          <span className="muted figures">{text.answer.predicted(move.predictedOutageMs)}</span>
        )}
      </div>
    </article>
  );
}

function History({ moves }: { moves: Move[] }) {
  const [opened, setOpened] = useState<string | null>(null);
  const shown = opened ?? moves[0]?.id;
  const columns = text.move.columns;
  return (
    <table className="table">
      <thead>
        <tr>
          <th scope="col">{columns.when}</th>
          <th scope="col">{columns.what}</th>
          <th scope="col">{columns.state}</th>
          <th scope="col" className="number">
            {columns.outage}
          </th>
          <th scope="col" className="number">
            {columns.predicted}
          </th>
          <th scope="col" className="number">
            {columns.wire}
          </th>
          <th scope="col" className="number">
            {columns.sessions}
          </th>
        </tr>
      </thead>
      {moves.map((move) => {
        const open = move.id === shown;
        return (
          <tbody key={move.id} data-open={open}>
            <tr>
              <td className="figures">
                <button
                  type="button"
                  className="fold"
                  aria-expanded={open}
                  aria-label={text.move.details(move)}
                  onClick={() => setOpened(open ? '' : move.id)}
                >
                  <Icon name="chevron" size={14} />
                  {`${day(move.startedAt)}, ${time(move.startedAt)}`}
                </button>
              </td>
              <td>
                {move.service} <span className="muted">{`${place(move.from)} → ${place(move.to)}`}</span>
              </td>
              <td>
                <StateWord tone={tones[move.state]}>{text.move.state[move.state]}</StateWord>
              </td>
              <td className="number">{move.outageMs === null ? '–' : duration(move.outageMs)}</td>
              <td className="number muted">
                {move.predictedOutageMs === null ? '–' : duration(move.predictedOutageMs)}
              </td>
              <td className="number">{move.wireBytes === null ? '–' : bytes(move.wireBytes)}</td>
              <td className="number">
                {move.sessionsCarried === null
                  ? '–'
                  : text.move.lost(move.sessionsLost, move.sessionsCarried)}
              </td>
            </tr>
            {open && (
              <tr className="details">
                <td colSpan={7}>
                  <MoveDetails move={move} />
                </td>
              </tr>
            )}
          </tbody>
        );
      })}
    </table>
  );
}

/** What happened, what is safe and what to do, then the error as it was told. */
function MoveFault({ move: { failure, error } }: { move: Move }) {
  if (!failure && !error) return null;
  return (
    <div className="fault" role="note">
      {failure && (
        <p>
          <strong>{failure.happened}</strong> {failure.safe} {failure.advice}
        </p>
      )}
      {error && (
        <p>
          {error.message} <code>{error.code}</code>
        </p>
      )}
    </div>
  );
}

function MoveDetails({ move }: { move: Move }) {
  const words = text.move;
  return (
    <div className="move-details">
      <Waterfall move={move} />
      <div>
        <MoveFault move={move} />
        <dl className="facts">
          <dt>{words.reason}</dt>
          <dd>{move.reason}</dd>
          <dt>{words.requestedBy}</dt>
          <dd>{move.requestedBy}</dd>
          <dt>{words.stone}</dt>
          <dd>{place(move.stone)}</dd>
          <dt>{words.epoch}</dt>
          <dd>{move.epoch}</dd>
          <dt>{words.stateSize}</dt>
          <dd className="figures">{move.stateBytes === null ? '–' : bytes(move.stateBytes)}</dd>
          <dt>{words.columns.when.toLowerCase()}</dt>
          <dd className="figures">{timeWithMs(move.startedAt)}</dd>
        </dl>
      </div>
    </div>
  );
}
