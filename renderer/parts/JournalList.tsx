import type { JournalEvent } from '../../core/contract/domain.ts';
import { timeWithMs, withPlaces } from '../format.ts';
import { useCollection } from '../store/console-store.ts';
import { text } from '../text.ts';

/** Events with their times to the millisecond, coloured by what they mean. */
export function JournalList({ events }: { events: readonly JournalEvent[] }) {
  const sites = useCollection('sites');
  return (
    <ol className="journal-list">
      {events.map((event) => (
        <li key={event.id} data-tone={event.tone} title={event.type}>
          <time dateTime={new Date(event.at).toISOString()}>{timeWithMs(event.at)}</time>
          <span>
            <span className="unseen">{text.journal.tone[event.tone]}</span>
            {withPlaces(event.text, sites)}
          </span>
        </li>
      ))}
    </ol>
  );
}

/** Events of a collection, newest first. */
export function newestFirst(events: Readonly<Record<string, JournalEvent>>): JournalEvent[] {
  return Object.values(events).sort((a, b) => Number(b.id) - Number(a.id));
}
