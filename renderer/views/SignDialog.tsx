import { useState } from 'react';
import type { OutputOf } from '../../core/contract/contract.ts';
import { requestCommand } from '../../core/contract/request-command.ts';
import { faultOfRequest, nameInRequest } from '../model/certificate-request.ts';
import { faultsOfGrant, type Grant, inputOfGrant } from '../model/grant.ts';
import { serviceInFocus } from '../model/reading.ts';
import { CopyBox } from '../parts/CopyBox.tsx';
import { Dialog } from '../parts/Dialog.tsx';
import { FormActions } from '../parts/FormActions.tsx';
import { NameField } from '../parts/NameField.tsx';
import { Refusal } from '../parts/Refusal.tsx';
import { fileName } from '../save.ts';
import { ask } from '../store/commands.ts';
import { useConsoleState, useMayAct } from '../store/console-store.ts';
import { type Fault, faultOf, useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';
import { GrantFields } from './GrantFields.tsx';
import { RequestField } from './RequestField.tsx';
import { SignedFiles } from './SignedFiles.tsx';

const words = text.credential.sign;

/** Signs a certificate request, then hands out the certificate. */
export function SignDialog() {
  const open = useUi((ui) => ui.open);
  const [signed, setSigned] = useState<OutputOf<'credential.sign'> | null>(null);
  const [busy, setBusy] = useState(false);
  // The certificate comes back once: while it is on its way nothing closes what will receive it.
  const close = () => {
    if (!busy) open(null);
  };
  if (signed) return <SignedFiles signed={signed} onClose={close} />;
  return (
    <Dialog title={words.title} className="wide" onClose={close}>
      <p className="muted">{words.intro}</p>
      <SignForm busy={busy} setBusy={setBusy} onSigned={setSigned} onCancel={close} />
    </Dialog>
  );
}

function SignForm(props: {
  busy: boolean;
  setBusy(busy: boolean): void;
  onSigned(signed: OutputOf<'credential.sign'>): void;
  onCancel(): void;
}) {
  const inFocus = useUi((ui) => ui.service);
  const focus = useConsoleState((state) => serviceInFocus(state, inFocus)?.id ?? '');
  const mayAct = useMayAct();
  const [grant, setGrant] = useState<Grant>({ name: '', any: true, services: focus, days: '30' });
  const [request, setRequest] = useState('');
  const [tried, setTried] = useState(false);
  const { busy, setBusy } = props;
  const [refusal, setRefusal] = useState<Fault | null>(null);
  const said = nameInRequest(request);
  const name = grant.name.trim();
  const differs = said !== null && name !== '' && said !== name;
  const requestFault = faultOfRequest(request);
  const faults = tried ? faultsOfGrant(grant) : {};
  const change = (part: Partial<Grant>) => {
    setGrant({ ...grant, ...part });
    setRefusal(null);
  };
  const takeRequest = (pem: string) => {
    setRequest(pem);
    setRefusal(null);
    const found = nameInRequest(pem);
    if (found !== null && name === '') setGrant({ ...grant, name: found });
  };

  const submit = async () => {
    setTried(true);
    setRefusal(null);
    if (Object.keys(faultsOfGrant(grant)).length > 0 || requestFault !== null) return;
    setBusy(true);
    try {
      const requestPem = request.trimStart();
      props.onSigned(await ask('credential.sign', { ...inputOfGrant(grant), requestPem }));
    } catch (error) {
      setRefusal(faultOf(error));
    } finally {
      setBusy(false);
    }
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
        value={grant.name}
        onChange={(typed) => change({ name: typed })}
      />
      <div className="field">
        <span>{words.command}</span>
        <CopyBox
          label={words.commandLabel}
          content={requestCommand(name || words.placeholder, name ? fileName(name, '') : words.placeholder)}
        />
      </div>
      <RequestField
        value={request}
        fault={tried || request !== '' ? (requestFault ?? undefined) : undefined}
        hint={said === null ? undefined : differs ? '' : words.requestOf(said)}
        differing={differs ? said : null}
        onTake={(taken) => change({ name: taken })}
        onChange={takeRequest}
      />
      <div className="grant">
        <GrantFields grant={grant} faults={faults} change={change} />
      </div>
      <Refusal fault={refusal} />
      <FormActions submit={words.submit} disabled={!mayAct || busy} onCancel={props.onCancel} />
    </form>
  );
}
