import { type Move, movePhaseNames } from '../../core/contract/domain.ts';
import { duration } from '../format.ts';
import { isUnderWay } from '../model/reading.ts';
import { text } from '../text.ts';
import { useNow } from './use-now.ts';

const afterCommit = new Set(['commit', 'announce', 'firstAnswer']);

/**
 * The phases of a move on one time axis that begins with the freeze (the preparation costs nobody
 * anything, so it is told in words). Rows never change their place; a running phase grows.
 */
export function Waterfall({ move }: { move: Move }) {
  const live = isUnderWay(move) && move.state !== 'paused';
  const now = useNow(80, live);
  const byPhase = new Map(move.phases.map((phase) => [phase.phase, phase]));
  const freeze = byPhase.get('freeze');
  const begin = freeze?.startedAt ?? move.startedAt;
  const lastKnown = move.phases.reduce(
    (end, phase) => Math.max(end, phase.endedAt ?? phase.startedAt),
    begin,
  );
  const present = live ? Math.max(now, lastKnown) : lastKnown;
  const expected = live ? (move.predictedOutageMs ?? 0) : 0;
  const length = Math.max(present - begin, expected, 1);
  return (
    <table className="waterfall">
      <caption className="unseen">{text.phases.table}</caption>
      <tbody>
        {movePhaseNames.map((name) => {
          const phase = byPhase.get(name);
          const end = phase ? (phase.endedAt ?? present) : 0;
          const left = phase ? Math.max(0, (phase.startedAt - begin) / length) : 0;
          const width = phase ? Math.max(0, (end - Math.max(phase.startedAt, begin)) / length) : 0;
          const running = phase !== undefined && phase.endedAt === null;
          return (
            <tr key={name} data-running={running && live} data-pending={!phase}>
              <th scope="row">{text.phases.name[name]}</th>
              <td className="track">
                {name === 'prepare' ? (
                  <span className="track-note">{phase ? text.phases.before : ''}</span>
                ) : (
                  phase && (
                    <span
                      className="bar"
                      data-tone={afterCommit.has(name) ? 'good' : 'decision'}
                      style={{ left: `${left * 100}%`, width: `${Math.min(width, 1 - left) * 100}%` }}
                    />
                  )
                )}
              </td>
              <td className="figures">{phase ? duration(Math.max(0, end - phase.startedAt)) : '–'}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
