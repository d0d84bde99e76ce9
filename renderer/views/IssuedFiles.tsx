import { useState } from 'react';
import type { OutputOf } from '../../core/contract/contract.ts';
import type { Credential } from '../../core/contract/domain.ts';
import { Dialog } from '../parts/Dialog.tsx';
import { Downloads } from '../parts/Downloads.tsx';
import { fileName, fromBase64, saveFile } from '../save.ts';
import { text } from '../text.ts';

const words = text.credential.issued;
const pem = 'application/x-pem-file';

/** The files of a fresh certificate. The key is shown once: closing unsaved asks again. */
export function IssuedFiles({ issued, onClose }: { issued: OutputOf<'credential.issue'>; onClose(): void }) {
  const [saved, setSaved] = useState<readonly string[]>([]);
  const [asked, setAsked] = useState(false);
  const { credential } = issued;
  const keyIsSaved = saved.includes('p12') || saved.includes('key');
  const close = () => {
    if (keyIsSaved || asked) onClose();
    else setAsked(true);
  };
  const files = [
    {
      id: 'p12',
      label: words.p12,
      save: () =>
        saveFile(fileName(credential.name, '.p12'), 'application/x-pkcs12', fromBase64(issued.pkcs12Base64)),
    },
    {
      id: 'certificate',
      label: words.certificate,
      save: () => saveFile(fileName(credential.name, '.certificate.pem'), pem, issued.certificatePem),
    },
    {
      id: 'key',
      label: words.key,
      save: () => saveFile(fileName(credential.name, '.key.pem'), pem, issued.keyPem),
    },
    { id: 'trust', label: words.trust, save: () => saveFile('move-trust.pem', pem, issued.trustPem) },
  ];
  return (
    <Dialog title={words.title(credential.name)} onClose={close}>
      <p className="consequence">{words.once}</p>
      <Downloads files={files} onSaved={(id) => setSaved([...saved, id])} />
      <p className="muted">{`${words.p12}: ${words.p12Hint}`}</p>
      <CredentialFacts credential={credential} />
      {asked && !keyIsSaved && (
        <p className="fault" role="alert">
          {words.notSaved}
        </p>
      )}
      <div className="actions end">
        <button type="button" className={asked && !keyIsSaved ? 'button danger' : 'button'} onClick={close}>
          {asked && !keyIsSaved ? words.closeAnyway : words.done}
        </button>
      </div>
    </Dialog>
  );
}

/** By which figures a certificate is known again. */
export function CredentialFacts({ credential }: { credential: Credential }) {
  return (
    <dl className="facts">
      <dt>{words.serial}</dt>
      <dd>
        <code>{credential.id}</code>
      </dd>
      <dt>{words.fingerprint}</dt>
      <dd>
        <code className="break">{credential.fingerprint256}</code>
      </dd>
    </dl>
  );
}
