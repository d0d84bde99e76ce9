import { insideByTest } from '../model/admission.ts';
import { ConfirmDialog } from '../parts/ConfirmDialog.tsx';
import { useNow } from '../parts/use-now.ts';
import { setAdmission } from '../store/commands.ts';
import { useCollection } from '../store/console-store.ts';
import { text } from '../text.ts';

const words = text.admission.close;

/** Confirms that a service is closed to the human test while visitors are in it. */
export function CloseTestDialog({ service }: { service: string }) {
  const inside = insideByTest(useCollection('visitors'), service, useNow(1_000));
  return (
    <ConfirmDialog
      title={words.title(service)}
      consequence={words.consequence(inside)}
      confirm={words.confirm}
      act={async () =>
        (await setAdmission({ close: [service] }, text.admission.set.closed(service))) !== null
      }
    />
  );
}
