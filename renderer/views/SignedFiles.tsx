import type { OutputOf } from '../../core/contract/contract.ts';
import { CopyBox } from '../parts/CopyBox.tsx';
import { Dialog } from '../parts/Dialog.tsx';
import { Downloads } from '../parts/Downloads.tsx';
import { fileName, saveFile } from '../save.ts';
import { text } from '../text.ts';
import { CredentialFacts } from './IssuedFiles.tsx';

const words = text.credential.sign.signed;
const pem = 'application/x-pem-file';
const trustFile = 'move-trust.pem';

/** The certificate of a request that was signed. There is no key here: it never came. */
export function SignedFiles(props: { signed: OutputOf<'credential.sign'>; onClose(): void }) {
  const { credential, certificatePem, trustPem } = props.signed;
  const base = fileName(credential.name, '');
  const certificateFile = `${base}.certificate.pem`;
  return (
    <Dialog title={words.title(credential.name)} className="wide" onClose={props.onClose}>
      <Downloads
        files={[
          {
            id: 'certificate',
            label: words.certificate,
            save: () => saveFile(certificateFile, pem, certificatePem),
          },
          { id: 'trust', label: words.trust, save: () => saveFile(trustFile, pem, trustPem) },
        ]}
      />
      <p className="muted">{words.hint}</p>
      <div className="field">
        <span>{words.browser}</span>
        <CopyBox
          label={words.browserLabel}
          content={`openssl pkcs12 -export -in ${certificateFile} -inkey ${base}.key.pem -certfile ${trustFile} -out ${base}.p12`}
        />
      </div>
      <CredentialFacts credential={credential} />
      <div className="actions end">
        <button type="button" className="button" onClick={props.onClose}>
          {words.done}
        </button>
      </div>
    </Dialog>
  );
}
