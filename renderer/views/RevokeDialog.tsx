import { useState } from 'react';
import { ConfirmDialog } from '../parts/ConfirmDialog.tsx';
import { run } from '../store/commands.ts';
import { useCollection } from '../store/console-store.ts';
import { text } from '../text.ts';

type Reason = keyof typeof text.credential.revokeDialog.reasons;
const words = text.credential.revokeDialog;

/** Confirms a revocation and names what it does. */
export function RevokeDialog({ serial }: { serial: string }) {
  const name = useCollection('credentials')[serial]?.name ?? serial;
  const [reason, setReason] = useState<Reason>('unspecified');
  const revoke = async () => {
    const answer = await run('credential.revoke', { serial, reason }, (o) =>
      text.credential.revoked(o.credential.name, o.accessPointsTold, o.toldWithinMs),
    );
    return answer !== null;
  };
  return (
    <ConfirmDialog
      title={words.title(name)}
      consequence={words.consequence}
      confirm={words.confirm}
      act={revoke}
    >
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
    </ConfirmDialog>
  );
}
