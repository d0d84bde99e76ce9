import { ConfirmDialog } from '../parts/ConfirmDialog.tsx';
import { run } from '../store/commands.ts';
import { text } from '../text.ts';

const words = text.admission.remove;

/** Confirms that somebody's password is taken away. */
export function RemovePersonDialog({ name, services }: { name: string; services: readonly string[] }) {
  const remove = async () => {
    const answer = await run('admission.removePerson', { name }, (o) =>
      words.done(o.name, o.accessPointsTold),
    );
    return answer !== null;
  };
  return (
    <ConfirmDialog
      title={words.title(name)}
      consequence={words.consequence(services)}
      confirm={words.confirm}
      act={remove}
    />
  );
}
