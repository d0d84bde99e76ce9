import { useState } from 'react';
import { makePassword, strengthOf } from '../model/password.ts';
import { text } from '../text.ts';
import { Field } from './Field.tsx';

const words = text.credential.form;

/** A new password: typed or made, shown on request, with how strong it is. */
export function PasswordField(props: {
  label: string;
  hint: string;
  fault: string | undefined;
  value: string;
  onChange(password: string): void;
}) {
  const [visible, setVisible] = useState(false);
  const strength = strengthOf(props.value);
  return (
    <>
      <Field label={props.label} hint={props.hint} fault={props.fault}>
        {(ids) => (
          <span className="with-buttons">
            <input
              {...ids}
              type={visible ? 'text' : 'password'}
              autoComplete="new-password"
              value={props.value}
              onChange={(event) => props.onChange(event.target.value)}
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
                props.onChange(makePassword());
                setVisible(true);
              }}
            >
              {words.generate}
            </button>
          </span>
        )}
      </Field>
      <p className="strength" data-strength={props.value ? strength : undefined} role="status">
        <span aria-hidden="true" />
        {props.value ? words.strength[strength] : ''}
      </p>
    </>
  );
}
