import { useState } from 'react';
import type { OutputOf } from '../../core/contract/contract.ts';
import { faultsOfGrant, type Grant, inputOfGrant } from '../model/grant.ts';
import { serviceInFocus } from '../model/reading.ts';
import { Dialog } from '../parts/Dialog.tsx';
import { FormActions } from '../parts/FormActions.tsx';
import { NameField } from '../parts/NameField.tsx';
import { PasswordField } from '../parts/PasswordField.tsx';
import { run } from '../store/commands.ts';
import { useConsoleState, useMayAct } from '../store/console-store.ts';
import { useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';
import { GrantFields } from './GrantFields.tsx';
import { IssuedFiles } from './IssuedFiles.tsx';

const words = text.credential.form;

/** Issues a client certificate by hand, then hands out its files once. */
export function IssueDialog() {
  const open = useUi((ui) => ui.open);
  const [issued, setIssued] = useState<OutputOf<'credential.issue'> | null>(null);
  const [busy, setBusy] = useState(false);
  // The key comes back once: while it is on its way nothing closes what will receive it.
  const close = () => {
    if (!busy) open(null);
  };
  if (issued) return <IssuedFiles issued={issued} onClose={() => open(null)} />;
  return (
    <Dialog title={text.credential.issue} onClose={close}>
      <IssueForm busy={busy} setBusy={setBusy} onIssued={setIssued} onCancel={close} />
    </Dialog>
  );
}

interface Draft extends Grant {
  password: string;
}

/** What is wrong with a draft, by field. */
const faultsOf = (draft: Draft): ReturnType<typeof faultsOfGrant> & { password?: string } => ({
  ...faultsOfGrant(draft),
  ...(draft.password.length < 8 ? { password: words.errors.password } : {}),
});

function IssueForm(props: {
  busy: boolean;
  setBusy(busy: boolean): void;
  onIssued(issued: OutputOf<'credential.issue'>): void;
  onCancel(): void;
}) {
  const inFocus = useUi((ui) => ui.service);
  const focus = useConsoleState((state) => serviceInFocus(state, inFocus)?.id ?? '');
  const mayAct = useMayAct();
  const [draft, setDraft] = useState<Draft>({
    name: '',
    any: true,
    services: focus,
    days: '30',
    password: '',
  });
  const [tried, setTried] = useState(false);
  const { busy, setBusy } = props;
  const faults = tried ? faultsOf(draft) : {};
  const change = (part: Partial<Draft>) => setDraft({ ...draft, ...part });

  const submit = async () => {
    setTried(true);
    if (Object.keys(faultsOf(draft)).length > 0) return;
    setBusy(true);
    const answer = await run('credential.issue', { ...inputOfGrant(draft), password: draft.password });
    setBusy(false);
    if (answer) props.onIssued(answer);
  };

  return (
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
        fault={faults.name}
        value={draft.name}
        onChange={(typed) => change({ name: typed })}
      />
      <GrantFields grant={draft} faults={faults} change={change} />
      <PasswordField
        label={words.password}
        hint={words.passwordHint}
        fault={faults.password}
        value={draft.password}
        onChange={(password) => change({ password })}
      />
      <FormActions submit={words.submit} disabled={!mayAct || busy} onCancel={props.onCancel} />
    </form>
  );
}
