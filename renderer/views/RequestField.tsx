import { useRef, useState } from 'react';
import { longestRequest } from '../model/certificate-request.ts';
import { Field } from '../parts/Field.tsx';
import { text } from '../text.ts';

const words = text.credential.sign;

/** A certificate request: pasted, dropped as a file, or chosen. */
export function RequestField(props: {
  value: string;
  hint: string | undefined;
  fault: string | undefined;
  onChange(pem: string): void;
}) {
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
            rows={5}
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
          <button type="button" className="button small choose-file" onClick={() => chooser.current?.click()}>
            {words.choose}
          </button>
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
