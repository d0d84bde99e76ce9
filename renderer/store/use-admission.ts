import { useCallback, useEffect, useState } from 'react';
import type { OutputOf } from '../../core/contract/contract.ts';
import { ask } from './commands.ts';
import { useConsole } from './console-store.ts';

export type Admission = OutputOf<'admission.show'>;
/** What the window knows of who comes in without a certificate. */
export type AdmissionKnown =
  | { kind: 'asking' }
  | { kind: 'known'; admission: Admission }
  | { kind: 'failed'; message: string; again(): void };

/**
 * Who comes in without a certificate, asked of core when it is first wanted and whenever the settings, the services or
 * the people with passwords have changed. What was known stays until the next answer.
 */
export function useAdmission(): AdmissionKnown {
  const client = useConsole((store) => store.client);
  // People with passwords are in no collection of the state; the journal tells of each change.
  const version = useConsole(({ state }) => {
    let lastOfPeople = '';
    for (const { id, type } of Object.values(state.events))
      if (type === 'admission.people') lastOfPeople = id;
    const services = Object.keys(state.services).sort().join(' ');
    return JSON.stringify([state.admission.admission, services, lastOfPeople]);
  });
  const [known, setKnown] = useState<AdmissionKnown>({ kind: 'asking' });
  const [attempt, setAttempt] = useState(0);
  const again = useCallback(() => {
    setKnown({ kind: 'asking' });
    setAttempt((number) => number + 1);
  }, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: version and attempt say when to ask, not what
  useEffect(() => {
    if (!client) return;
    let current = true;
    ask('admission.show', {}).then(
      (admission) => current && setKnown({ kind: 'known', admission }),
      (error: Error) => current && setKnown({ kind: 'failed', message: error.message, again }),
    );
    return () => {
      current = false;
    };
  }, [client, version, attempt, again]);
  return known;
}
