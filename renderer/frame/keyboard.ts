import { useEffect } from 'react';
import { waitingProposals } from '../model/reading.ts';
import { stopEverything } from '../store/commands.ts';
import { useConsole } from '../store/console-store.ts';
import { useUi, views } from '../store/ui-store.ts';

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName))
  );
}

/** Goes to the decision that waits: its Approve button gets the focus, so that Enter approves. */
export function goToDecision(): void {
  const { proposals } = useConsole.getState().state;
  if (waitingProposals(proposals).length === 0) return;
  const { view, show } = useUi.getState();
  if (view !== 'map' && view !== 'moves') show('moves');
  requestAnimationFrame(() =>
    document.querySelector<HTMLButtonElement>('[data-decision] button')?.focus({ preventScroll: false }),
  );
}

/** The keys that work everywhere. */
export function useKeyboard(): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const ui = useUi.getState();
      const command = event.ctrlKey || event.metaKey;
      if (command && event.key.toLowerCase() === 'k') {
        event.preventDefault();
        ui.open(ui.overlay?.kind === 'palette' ? null : { kind: 'palette' });
      } else if (command && event.key === '.') {
        event.preventDefault();
        void stopEverything();
      } else if (command || event.altKey || ui.overlay || isTyping(event.target)) return;
      else if (/^[1-7]$/.test(event.key)) ui.show(views[Number(event.key) - 1]!);
      else if (event.key === '?') ui.open({ kind: 'shortcuts' });
      else if (event.key === 'a') goToDecision();
      else if (event.key === 'Escape') ui.select(null);
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, []);
}
