import { useState } from 'react';
import type { OutputOf } from '../../core/contract/contract.ts';
import { secretToType } from '../model/admission.ts';
import { CopyBox } from '../parts/CopyBox.tsx';
import { Dialog } from '../parts/Dialog.tsx';
import { text } from '../text.ts';

const words = text.admission.secondStep;

/** What somebody's authenticator program takes. It is shown once: closing it uncopied asks again. */
export function SecondStep(props: { added: OutputOf<'admission.addPerson'>; onClose(): void }) {
  const [copied, setCopied] = useState(false);
  const [asked, setAsked] = useState(false);
  const { name, otpauth } = props.added;
  const warned = asked && !copied;
  const close = () => {
    if (copied || asked) props.onClose();
    else setAsked(true);
  };
  return (
    <Dialog title={words.title(name)} onClose={close}>
      <p className="consequence">{words.once}</p>
      <div className="field">
        <span>{words.address}</span>
        <CopyBox label={words.address} content={otpauth} autofocus onCopied={() => setCopied(true)} />
      </div>
      <div className="field">
        <span>{words.secret}</span>
        <CopyBox label={words.secret} content={secretToType(otpauth)} onCopied={() => setCopied(true)} />
        <p className="muted">{words.secretHint}</p>
      </div>
      {warned && (
        <p className="fault" role="alert">
          {words.notCopied}
        </p>
      )}
      <div className="actions end">
        <button type="button" className={warned ? 'button danger' : 'button'} onClick={close}>
          {warned ? words.closeAnyway : words.done}
        </button>
      </div>
    </Dialog>
  );
}
