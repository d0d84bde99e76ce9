import { useMemo, useRef, useState } from 'react';
import { Dialog } from '../parts/Dialog.tsx';
import { useConsole, useMayAct } from '../store/console-store.ts';
import { useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';
import { matching, paletteCommands } from './palette-commands.ts';

/** Any command by its name. The list is taken when it opens, so that nothing moves under the hand. */
export function Palette() {
  const open = useUi((ui) => ui.open);
  const mayAct = useMayAct();
  const all = useMemo(() => paletteCommands(useConsole.getState().state, mayAct), [mayAct]);
  const [typed, setTyped] = useState('');
  // Nothing is chosen until a key or the pointer chooses, so that a stray Enter decides nothing.
  const [at, setAt] = useState(-1);
  const list = useRef<HTMLDivElement>(null);
  const shown = matching(all, typed);
  const current = shown[Math.min(at, shown.length - 1)];

  const choose = (index: number) => {
    const command = shown[index];
    if (!command) return;
    open(null);
    command.run();
  };
  const step = (by: number) => {
    const from = at < 0 && by < 0 ? 0 : Math.min(at, shown.length - 1);
    const next = (from + by + shown.length) % Math.max(1, shown.length);
    setAt(next);
    list.current?.children[next]?.scrollIntoView({ block: 'nearest' });
  };

  return (
    <Dialog title={text.palette.label} hideTitle className="palette" onClose={() => open(null)}>
      <input
        className="palette-input"
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={current ? `palette-${all.indexOf(current)}` : undefined}
        aria-label={text.palette.placeholder}
        placeholder={text.palette.placeholder}
        value={typed}
        data-autofocus
        spellCheck={false}
        onChange={(event) => {
          setTyped(event.target.value);
          setAt(event.target.value.trim() === '' ? -1 : 0);
        }}
        onKeyDown={(event) => {
          if (event.key === 'ArrowDown') step(1);
          else if (event.key === 'ArrowUp') step(-1);
          else if (event.key === 'Enter') choose(Math.min(at, shown.length - 1));
          else return;
          event.preventDefault();
        }}
      />
      <div
        id="palette-list"
        role="listbox"
        aria-label={text.palette.label}
        className="palette-list"
        ref={list}
      >
        {shown.map((command, index) => (
          <div
            key={command.id}
            id={`palette-${all.indexOf(command)}`}
            role="option"
            tabIndex={-1}
            aria-selected={command === current}
            data-tone={command.tone}
            onPointerMove={() => setAt(index)}
            onClick={() => choose(index)}
            onKeyDown={(event) => event.key === 'Enter' && choose(index)}
          >
            <span>{command.label}</span>
            {command.keys && <kbd>{command.keys}</kbd>}
          </div>
        ))}
      </div>
      {shown.length === 0 && <p className="palette-none muted">{text.palette.none}</p>}
    </Dialog>
  );
}
