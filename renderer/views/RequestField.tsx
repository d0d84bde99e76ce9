import { useRef, useState } from 'react';
import { longestRequest } from '../model/certificate-request.ts';
import { Field } from '../parts/Field.tsx';
import { text } from '../text.ts';

const words = text.credential.sign;

/** A certificate request: pasted, dropped as a file, or chosen. */
export function RequestField(props: {
  value: string;
  hint: string | undefined;
  /** Whom it is for, where that is not who it shall be for. */
  differing: string | null;
  onTake(name: string): void;
  fault: string | undefined;
  onChange(pem: string): void;
}) {
  const { differing } = props;
  const chooser = useRef<HTMLInputElement>(null);
  const [fileFault, setFileFault] = useState<string>();
  const change = (pem: string) => {
    setFileFault(undefined);
    props.onChange(pem);
  };
  const read = async (file: File | undefined) => {
    if (!file) return;
    if (file.size > longestRequest) return setFileFault(words.errors.tooLong);
    try {
      change(await file.text());
    } catch {
      // It was moved or taken away since it was chosen; the browser's own words say no more.
      setFileFault(words.errors.unreadable);
    }
  };
  return (
    <Field label={words.request} hint={props.hint ?? words.requestHint} fault={fileFault ?? props.fault}>
      {(ids) => (
        <>
          <textarea
            {...ids}
            rows={4}
            spellCheck={false}
            autoComplete="off"
            placeholder="-----BEGIN CERTIFICATE REQUEST-----"
            value={props.value}
            onChange={(event) => change(event.target.value)}
            onDrop={(event) => {
              const [file] = event.dataTransfer.files;
              if (!file) return;
              event.preventDefault();
              void read(file);
            }}
          />
          <div className="request-actions">
            <button type="button" className="button small" onClick={() => chooser.current?.click()}>
              {words.choose}
            </button>
            {differing !== null && (
              <p className="differs" role="status">
                {words.nameDiffers(differing)}{' '}
                <button type="button" className="link" onClick={() => props.onTake(differing)}>
                  {words.take(differing)}
                </button>
              </p>
            )}
          </div>
          <input
            ref={chooser}
            type="file"
            hidden
            aria-label={words.choose}
            accept=".pem,.csr,.req,.txt"
            onChange={(event) => {
              void read(event.target.files?.[0]);
              event.target.value = '';
            }}
          />
        </>
      )}
    </Field>
  );
}
