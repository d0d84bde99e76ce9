import { Dialog } from '../parts/Dialog.tsx';
import { useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';

/** The list of keys. */
export function Shortcuts() {
  const open = useUi((ui) => ui.open);
  return (
    <Dialog title={text.shortcuts.title} onClose={() => open(null)}>
      <dl className="shortcuts">
        {text.shortcuts.items.map(([keys, what]) => (
          <div key={keys}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
