import { type ReactNode, useId, useState } from 'react';
import type { OutputOf } from '../../core/contract/contract.ts';
import { makePassword, strengthOf } from '../model/password.ts';
import { serviceInFocus, servicesByName } from '../model/reading.ts';
import { Dialog } from '../parts/Dialog.tsx';
import { run } from '../store/commands.ts';
import { useCollection, useConsoleState, useMayAct } from '../store/console-store.ts';
import { useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';
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

interface Draft {
  name: string;
  any: boolean;
  services: string;
  days: string;
  password: string;
}

/** What is wrong with a draft, by field. */
export function faultsOf(draft: Draft): Partial<Record<'name' | 'services' | 'days' | 'password', string>> {
  const days = Number(draft.days);
  return {
    ...(draft.name.trim().length < 1 || draft.name.trim().length > 64 ? { name: words.errors.name } : {}),
    ...(!draft.any && hostnames(draft.services).length === 0 ? { services: words.errors.services } : {}),
    ...(!(days >= 0.0001 && days <= 825) ? { days: words.errors.days } : {}),
    ...(draft.password.length < 8 ? { password: words.errors.password } : {}),
  };
}

const hostnames = (list: string) =>
  list
    .toLowerCase()
    .split(/[\s,;]+/)
    .filter(Boolean);

function IssueForm(props: {
  busy: boolean;
  setBusy(busy: boolean): void;
  onIssued(issued: OutputOf<'credential.issue'>): void;
  onCancel(): void;
}) {
  const services = servicesByName(useCollection('services'));
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
  const [visible, setVisible] = useState(false);
  const [tried, setTried] = useState(false);
  const { busy, setBusy } = props;
  const group = useId();
  const faults = tried ? faultsOf(draft) : {};
  const change = (part: Partial<Draft>) => setDraft({ ...draft, ...part });
  const strength = strengthOf(draft.password);

  const submit = async () => {
    setTried(true);
    if (Object.keys(faultsOf(draft)).length > 0) return;
    setBusy(true);
    const answer = await run('credential.issue', {
      name: draft.name.trim(),
      services: draft.any ? 'any' : hostnames(draft.services),
      days: Number(draft.days),
      password: draft.password,
    });
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
      <Field label={words.name} hint={words.nameHint} fault={faults.name}>
        {(ids) => (
          <input
            {...ids}
            data-autofocus
            autoComplete="off"
            value={draft.name}
            onChange={(e) => change({ name: e.target.value })}
          />
        )}
      </Field>
      <fieldset className="choice">
        <legend>{words.services}</legend>
        <div className="segments">
          {([true, false] as const).map((any) => (
            <label key={String(any)}>
              <input type="radio" name={group} checked={draft.any === any} onChange={() => change({ any })} />
              <span>{any ? words.anyService : words.chosen}</span>
            </label>
          ))}
        </div>
      </fieldset>
      {!draft.any && (
        <Field label={words.chosen} hint={words.chosenHint} fault={faults.services}>
          {(ids) => (
            <input
              {...ids}
              list={`${group}-services`}
              value={draft.services}
              onChange={(e) => change({ services: e.target.value })}
            />
          )}
        </Field>
      )}
      <datalist id={`${group}-services`}>
        {services.map((service) => (
          <option key={service.id} value={service.id} />
        ))}
      </datalist>
      <Field label={words.days} fault={faults.days}>
        {(ids) => (
          <input
            {...ids}
            className="short"
            inputMode="decimal"
            value={draft.days}
            onChange={(e) => change({ days: e.target.value })}
          />
        )}
      </Field>
      <Field label={words.password} hint={words.passwordHint} fault={faults.password}>
        {(ids) => (
          <span className="with-buttons">
            <input
              {...ids}
              type={visible ? 'text' : 'password'}
              autoComplete="new-password"
              value={draft.password}
              onChange={(e) => change({ password: e.target.value })}
            />
            <button
              type="button"
              className="button small"
              aria-pressed={visible}
              onClick={() => setVisible(!visible)}
            >
              {visible ? words.hide : words.show}
            </button>
            <button
              type="button"
              className="button small"
              onClick={() => {
                change({ password: makePassword() });
                setVisible(true);
              }}
            >
              {words.generate}
            </button>
          </span>
        )}
      </Field>
      <p className="strength" data-strength={draft.password ? strength : undefined} role="status">
        <span aria-hidden="true" />
        {draft.password ? words.strength[strength] : ''}
      </p>
      <div className="actions end">
        <button type="button" className="button" onClick={props.onCancel}>
          {text.cancel}
        </button>
        <button type="submit" className="button primary" disabled={!mayAct || busy}>
          {words.submit}
        </button>
      </div>
    </form>
  );
}

function Field(props: {
  label: string;
  hint?: string;
  fault?: string | undefined;
  children(ids: { id: string; 'aria-describedby': string; 'aria-invalid': boolean }): ReactNode;
}) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{props.label}</label>
      {props.children({ id, 'aria-describedby': `${id}-hint`, 'aria-invalid': props.fault !== undefined })}
      <p id={`${id}-hint`} className={props.fault ? 'fault' : 'muted'}>
        {props.fault ?? props.hint ?? ''}
      </p>
    </div>
  );
}
