import { useState } from 'react';
import type { OutputOf } from '../../core/contract/contract.ts';
import { hostnames } from '../model/grant.ts';
import { Dialog } from '../parts/Dialog.tsx';
import { FormActions } from '../parts/FormActions.tsx';
import { NameField } from '../parts/NameField.tsx';
import { PasswordField } from '../parts/PasswordField.tsx';
import { Refusal } from '../parts/Refusal.tsx';
import { ask } from '../store/commands.ts';
import { useMayAct } from '../store/console-store.ts';
import { type Fault, faultOf, useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';
import { ServicesField } from './GrantFields.tsx';
import { SecondStep } from './SecondStep.tsx';

const words = text.admission.person;

/** Lets somebody in by password, then shows their second step once. */
export function LetInDialog({ service }: { service: string }) {
  const open = useUi((ui) => ui.open);
  const mayAct = useMayAct();
  const [added, setAdded] = useState<OutputOf<'admission.addPerson'> | null>(null);
  const [draft, setDraft] = useState({ name: '', password: '', services: service });
  const [tried, setTried] = useState(false);
  const [busy, setBusy] = useState(false);
  const [refusal, setRefusal] = useState<Fault | null>(null);
  // The second step comes back once: while it is on its way nothing closes what will receive it.
  const close = () => {
    if (!busy) open(null);
  };
  if (added) return <SecondStep added={added} onClose={() => open(null)} />;

  const name = draft.name.trim();
  const services = hostnames(draft.services);
  const faults = {
    ...(name.length < 1 || name.length > 64 ? { name: words.errors.name } : {}),
    ...(draft.password.length < 10 ? { password: words.errors.password } : {}),
    ...(services.length === 0 ? { services: text.credential.form.errors.services } : {}),
  };
  const shown: Partial<typeof faults> = tried ? faults : {};
  const submit = async () => {
    setTried(true);
    if (Object.keys(faults).length > 0) return;
    setBusy(true);
    setRefusal(null);
    try {
      setAdded(await ask('admission.addPerson', { name, password: draft.password, services }));
    } catch (error) {
      setRefusal(faultOf(error));
    } finally {
      setBusy(false);
    }
  };
  return (
    <Dialog title={words.title} onClose={close}>
      <form
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <NameField
          label={words.name}
          hint={words.nameHint}
          fault={shown.name}
          value={draft.name}
          onChange={(typed) => setDraft({ ...draft, name: typed })}
        />
        <PasswordField
          label={words.password}
          hint={words.passwordHint}
          fault={shown.password}
          value={draft.password}
          onChange={(password) => setDraft({ ...draft, password })}
        />
        <ServicesField
          label={words.services}
          fault={shown.services}
          value={draft.services}
          onChange={(typed) => setDraft({ ...draft, services: typed })}
        />
        <Refusal fault={refusal} />
        <FormActions submit={words.submit} disabled={!mayAct || busy} onCancel={close} />
      </form>
    </Dialog>
  );
}
