import { ConfirmDialog } from '../parts/ConfirmDialog.tsx';
import { useNow } from '../parts/use-now.ts';
import { run } from '../store/commands.ts';
import { useCollection } from '../store/console-store.ts';
import { text } from '../text.ts';

const words = text.visitors.dialog;

/** Confirms that what a visitor earned is revoked, and says whether they can come in again. */
export function RevokeVisitorDialog({ serial }: { serial: string }) {
  const visitor = useCollection('visitors')[serial];
  const now = useNow(1_000);
  const over = !visitor || visitor.until <= now;
  const revoke = async () => {
    const answer = await run('admission.revoke', { serial }, (o) =>
      text.visitors.revoked(o.visitor.name, o.accessPointsTold, o.toldWithinMs),
    );
    return answer !== null;
  };
  return (
    <ConfirmDialog
      title={words.title(visitor?.name ?? serial)}
      consequence={over ? words.gone : words.consequence(visitor.accessPoint)}
      confirm={words.confirm}
      nothingLeft={over}
      act={revoke}
    >
      {!over && <p className="muted">{words.again[visitor.method]}</p>}
    </ConfirmDialog>
  );
}
