import { useState } from 'react';
import type { JournalEvent } from '../../core/contract/domain.ts';
import { Icon } from '../parts/Icon.tsx';
import { JournalList, newestFirst } from '../parts/JournalList.tsx';
import { Nothing } from '../parts/Nothing.tsx';
import { saveFile } from '../save.ts';
import { run, verifyJournal } from '../store/commands.ts';
import { useCollection, useConsole } from '../store/console-store.ts';
import { text } from '../text.ts';
import { Room } from './Room.tsx';

const pageSize = 200;
const mostOlder = 5_000;

/** What has happened, newest first; older events are read from the journal on demand. */
export function JournalView() {
  const events = newestFirst(useCollection('events'));
  const connected = useConsole((store) => store.client !== null);
  const [filter, setFilter] = useState('');
  const [older, setOlder] = useState<JournalEvent[]>([]);
  const [busy, setBusy] = useState(false);
  const known = new Set(events.map((event) => event.id));
  const all = [...events, ...older.filter((event) => !known.has(event.id))];
  const wanted = filter.trim().toLowerCase();
  const shown = all.filter((event) =>
    `${event.text} ${event.type} ${event.subject ?? ''} ${event.tone}`.toLowerCase().includes(wanted),
  );
  const oldest = Number(all.at(-1)?.id ?? 1);

  const readOlder = async () => {
    setBusy(true);
    const after = Math.max(0, oldest - 1 - pageSize);
    const limit = Math.max(1, Math.min(pageSize, oldest - 1 - after));
    const answer = await run('journal.read', { after, limit });
    if (answer) setOlder([...older, ...answer.events.toReversed()].slice(0, mostOlder));
    setBusy(false);
  };
  const verify = async () => {
    setBusy(true);
    await verifyJournal();
    setBusy(false);
  };

  return (
    <Room
      title={text.journal.title}
      actions={
        <>
          <button
            type="button"
            className="button"
            disabled={all.length === 0}
            onClick={() =>
              saveFile(
                'journal.jsonl',
                'application/x-ndjson',
                `${shown
                  .toReversed()
                  .map((event) => JSON.stringify(event))
                  .join('\n')}\n`,
              )
            }
          >
            <Icon name="download" size={16} />
            {text.journal.export}
          </button>
          <button
            type="button"
            className="button"
            disabled={!connected || busy}
            onClick={() => void verify()}
          >
            <Icon name="check" size={16} />
            {text.journal.verify}
          </button>
        </>
      }
    >
      <div className="filters">
        <input
          type="search"
          aria-label={text.journal.filter}
          placeholder={text.journal.filter}
          value={filter}
          onChange={(event) => setFilter(event.target.value)}
        />
        <span className="muted figures">{text.journal.newest(shown.length)}</span>
      </div>
      {all.length === 0 ? (
        <Nothing icon="journal" title={text.journal.empty} hint={text.journal.emptyHint} />
      ) : shown.length === 0 ? (
        <Nothing icon="search" title={text.journal.noMatch} hint={text.journal.noMatchHint} />
      ) : (
        <JournalList events={shown} />
      )}
      {oldest > 1 && all.length > 0 && (
        <button
          type="button"
          className="button"
          disabled={!connected || busy}
          onClick={() => void readOlder()}
        >
          {text.journal.older}
        </button>
      )}
    </Room>
  );
}
