import { type ReactNode, useState } from 'react';
import { useMayAct } from '../store/console-store.ts';
import { useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';
import { Dialog } from './Dialog.tsx';

/** Asks once before something that cannot be taken back, and names what it does. */
export function ConfirmDialog(props: {
  title: string;
  consequence: string;
  children?: ReactNode;
  confirm: string;
  /** What there is to confirm is gone. */
  nothingLeft?: boolean;
  /** Does it; the dialog closes when the answer is true. */
  act(): Promise<boolean>;
}) {
  const open = useUi((ui) => ui.open);
  const mayAct = useMayAct();
  const [busy, setBusy] = useState(false);
  const act = async () => {
    setBusy(true);
    const done = await props.act();
    setBusy(false);
    if (done) open(null);
  };
  return (
    <Dialog title={props.title} onClose={() => open(null)}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void act();
        }}
      >
        <p className="consequence">{props.consequence}</p>
        {props.children}
        <div className="actions end">
          <button type="button" className="button" data-autofocus onClick={() => open(null)}>
            {text.cancel}
          </button>
          <button
            type="submit"
            className="button danger"
            disabled={!mayAct || busy || props.nothingLeft === true}
          >
            {props.confirm}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
