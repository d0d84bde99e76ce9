import icon from '../../assets/icons/move-console.svg';
import { clock } from '../format.ts';
import { activeAttacks, consoleInfo, isBusy } from '../model/reading.ts';
import { Icon } from '../parts/Icon.tsx';
import { useNow } from '../parts/use-now.ts';
import { release, stopEverything } from '../store/commands.ts';
import { useCollection, useConsole, useConsoleState, useMayAct } from '../store/console-store.ts';
import { useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';
import { themeChoices, useTheme } from '../theme.ts';

/** Product, lab, commands, attack, connection, theme, and the stop that is always in reach. */
export function TopBar() {
  const info = useConsoleState(consoleInfo);
  const open = useUi((ui) => ui.open);
  const mayAct = useMayAct();
  const busy = useConsoleState(isBusy);
  return (
    <header className="top">
      <div className="brand">
        <img src={icon} alt="" width="24" height="24" />
        <strong>{text.product}</strong>
        {info?.labName && <span className="lab">{text.lab(info.labName)}</span>}
        {info?.readOnly && <span className="pill">{text.readOnly}</span>}
      </div>
      <button
        type="button"
        className="search"
        aria-haspopup="dialog"
        onClick={() => open({ kind: 'palette' })}
      >
        <Icon name="search" />
        <span>{text.search}</span>
        <kbd>{text.searchKeys}</kbd>
      </button>
      <div className="top-right">
        <AttackBanner />
        <ConnectionState />
        <ThemeToggle />
        {info?.halted ? (
          <button type="button" className="button release" disabled={!mayAct} onClick={() => void release()}>
            <Icon name="play" />
            {text.stop.release}
          </button>
        ) : (
          <button
            type="button"
            className="button stop"
            data-needed={busy}
            title={text.stop.title}
            disabled={!mayAct}
            onClick={() => void stopEverything()}
          >
            <Icon name="stop" />
            {text.stop.button}
          </button>
        )}
      </div>
    </header>
  );
}

function AttackBanner() {
  const attacks = activeAttacks(useCollection('attacks'));
  const show = useUi((ui) => ui.show);
  const first = attacks[0];
  const connected = useConsole((store) => store.client !== null);
  const now = useNow(250, first !== undefined && connected);
  return (
    <div className="attack-slot" role="alert">
      {first && (
        <button type="button" className="attack-banner" title={first.evidence} onClick={() => show('map')}>
          <Icon name="attack" />
          <span>{text.attack.on(first)}</span>
          {attacks.length > 1 && <span>{text.attack.more(attacks.length - 1)}</span>}
          <time aria-hidden="true">{clock(now - first.firstEvidenceAt)}</time>
        </button>
      )}
    </div>
  );
}

function ConnectionState() {
  const kind = useConsole((store) => store.connection.kind);
  const word =
    kind === 'connected'
      ? text.connection.connected
      : kind === 'connecting'
        ? text.connection.connecting
        : text.connection.lost;
  return (
    <span className={`connection ${kind}`} role="status">
      <span className="connection-dot" aria-hidden="true" />
      {word}
    </span>
  );
}

function ThemeToggle() {
  const { choice, choose } = useTheme();
  const next = themeChoices[(themeChoices.indexOf(choice) + 1) % themeChoices.length]!;
  const label = text.theme.label(text.theme[choice]);
  return (
    <button
      type="button"
      className="icon-button"
      aria-label={label}
      title={label}
      onClick={() => choose(next)}
    >
      <Icon name={choice === 'system' ? 'themeSystem' : choice === 'dark' ? 'themeDark' : 'themeLight'} />
    </button>
  );
}
