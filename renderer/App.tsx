import { ConnectionBanner, FirstConnection, HaltedBanner } from './frame/Banners.tsx';
import { useKeyboard } from './frame/keyboard.ts';
import { Palette } from './frame/Palette.tsx';
import { Rail } from './frame/Rail.tsx';
import { Shortcuts } from './frame/Shortcuts.tsx';
import { TopBar } from './frame/TopBar.tsx';
import { MapRoom } from './map/MapRoom.tsx';
import { Boundary } from './parts/Boundary.tsx';
import { Toasts } from './parts/Toasts.tsx';
import { useConsole } from './store/console-store.ts';
import { useUi, type View } from './store/ui-store.ts';
import { text } from './text.ts';
import { CloseTestDialog } from './views/CloseTestDialog.tsx';
import { CredentialsView } from './views/CredentialsView.tsx';
import { DrillsView } from './views/DrillsView.tsx';
import { IssueDialog } from './views/IssueDialog.tsx';
import { JournalView } from './views/JournalView.tsx';
import { LatencyView } from './views/LatencyView.tsx';
import { LetInDialog } from './views/LetInDialog.tsx';
import { MoveDialog } from './views/MoveDialog.tsx';
import { MovesView } from './views/MovesView.tsx';
import { RemovePersonDialog } from './views/RemovePersonDialog.tsx';
import { RevokeDialog } from './views/RevokeDialog.tsx';
import { RevokeVisitorDialog } from './views/RevokeVisitorDialog.tsx';
import { ServicesView } from './views/ServicesView.tsx';
import { SignDialog } from './views/SignDialog.tsx';

const rooms: Record<View, () => React.JSX.Element> = {
  map: MapRoom,
  services: ServicesView,
  moves: MovesView,
  credentials: CredentialsView,
  latency: LatencyView,
  drills: DrillsView,
  journal: JournalView,
};

/** The whole window: rail, top bar, one room, and what stands in front of it. */
export function App() {
  const view = useUi((ui) => ui.view);
  const known = useConsole((store) => store.known);
  const stale = useConsole((store) => store.known && store.client === null);
  useKeyboard();
  const Room = rooms[view];
  return (
    <div className="window">
      <a className="skip" href="#view">
        {text.skip}
      </a>
      <TopBar />
      <Rail />
      <div className="banners">
        <ConnectionBanner />
        <HaltedBanner />
      </div>
      <main id="view" tabIndex={-1} className={stale ? 'stale' : undefined} aria-label={text.views[view]}>
        <Boundary key={view}>{known ? <Room /> : <FirstConnection />}</Boundary>
      </main>
      <Front />
      <Toasts />
    </div>
  );
}

function Front() {
  const overlay = useUi((ui) => ui.overlay);
  switch (overlay?.kind) {
    case 'palette':
      return <Palette />;
    case 'shortcuts':
      return <Shortcuts />;
    case 'move':
      return <MoveDialog key={overlay.service} service={overlay.service} to={overlay.to} />;
    case 'issue':
      return <IssueDialog />;
    case 'revoke':
      return <RevokeDialog serial={overlay.serial} />;
    case 'sign':
      return <SignDialog />;
    case 'revoke-visitor':
      return <RevokeVisitorDialog serial={overlay.serial} />;
    case 'close-test':
      return <CloseTestDialog service={overlay.service} />;
    case 'let-in':
      return <LetInDialog service={overlay.service} />;
    case 'remove-person':
      return <RemovePersonDialog name={overlay.name} services={overlay.services} />;
    default:
      return null;
  }
}
