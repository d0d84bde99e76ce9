import { useState } from 'react';
import { Dialog } from '../parts/Dialog.tsx';
import { run } from '../store/commands.ts';
import { useCollection, useMayAct } from '../store/console-store.ts';
import { useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';

type Reason = keyof typeof text.credential.revokeDialog.reasons;
const words = text.credential.revokeDialog;

/** Confirms a revocation and names what it does. */
export function RevokeDialog({ serial }: { serial: string }) {
  const credential = useCollection('credentials')[serial];
  const open = useUi((ui) => ui.open);
  const mayAct = useMayAct();
  const [reason, setReason] = useState<Reason>('unspecified');
  const [busy, setBusy] = useState(false);
  const name = credential?.name ?? serial;
  const revoke = async () => {
    setBusy(true);
    const answer = await run('credential.revoke', { serial, reason }, (o) =>
      text.credential.revoked(o.credential.name, o.accessPointsTold, o.toldWithinMs),
    );
    setBusy(false);
    if (answer) open(null);
  };
  return (
    <Dialog title={words.title(name)} onClose={() => open(null)}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void revoke();
        }}
      >
        <p className="consequence">{words.consequence}</p>
        <label className="field">
          <span>{words.reason}</span>
          <select value={reason} onChange={(event) => setReason(event.target.value as Reason)}>
            {Object.entries(words.reasons).map(([value, label]) => (
              <option key={value} value={value}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <div className="actions end">
          <button type="button" className="button" data-autofocus onClick={() => open(null)}>
            {text.cancel}
          </button>
          <button type="submit" className="button danger" disabled={!mayAct || busy}>
            {words.confirm}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
