import { time } from '../format.ts';
import { consoleInfo } from '../model/reading.ts';
import { Icon } from '../parts/Icon.tsx';
import { Nothing } from '../parts/Nothing.tsx';
import { useNow } from '../parts/use-now.ts';
import { useConsole, useConsoleState } from '../store/console-store.ts';
import { text } from '../text.ts';

function useRetrySeconds(): number {
  const connection = useConsole((store) => store.connection);
  const now = useNow(250, connection.kind === 'waiting');
  return connection.kind === 'waiting' ? Math.max(0, Math.ceil((connection.retryAt - now) / 1_000)) : 0;
}

/** Says that what one sees is old, since when, and when it is tried again. */
export function ConnectionBanner() {
  const connection = useConsole((store) => store.connection);
  const known = useConsole((store) => store.known);
  const retry = useConsole((store) => store.retry);
  const left = useRetrySeconds();
  if (!known || connection.kind !== 'waiting') return null;
  return (
    <div className="banner lost" role="alert">
      <Icon name="unplugged" />
      <strong>{text.connection.lostLong(time(connection.lostAt))}</strong>
      <span className="figures">{text.connection.retryIn(left)}</span>
      <button type="button" className="button small" onClick={retry}>
        {text.connection.retry}
      </button>
    </div>
  );
}

/** Says that the emergency stop holds. */
export function HaltedBanner() {
  const halted = useConsoleState((state) => consoleInfo(state)?.halted ?? false);
  if (!halted) return null;
  return (
    <div className="banner halted" role="status">
      <Icon name="stop" />
      <strong>{text.stop.halted}</strong>
      <span>{text.stop.haltedHint}</span>
    </div>
  );
}

/** What stands in the view before the first snapshot has come. */
export function FirstConnection() {
  const connection = useConsole((store) => store.connection);
  const retry = useConsole((store) => store.retry);
  const left = useRetrySeconds();
  if (connection.kind !== 'waiting')
    return <Nothing icon="loading" title={text.connection.loading} hint={text.connection.loadingHint} busy />;
  return (
    <Nothing
      icon="unplugged"
      title={text.connection.never}
      hint={connection.reason ?? text.connection.neverHint}
    >
      <p className="figures muted">{text.connection.retryIn(left)}</p>
      <button type="button" className="button" onClick={retry}>
        {text.connection.retry}
      </button>
    </Nothing>
  );
}
