import { Field } from './Field.tsx';

/** Whose something is to be: the first field of a form, where the keyboard begins. */
export function NameField(props: {
  label: string;
  hint: string;
  fault?: string | undefined;
  value: string;
  onChange: (value: string) => void;
}) {
  return (
    <Field label={props.label} hint={props.hint} fault={props.fault}>
      {(ids) => (
        <input
          {...ids}
          data-autofocus
          autoComplete="off"
          value={props.value}
          onChange={(event) => props.onChange(event.target.value)}
        />
      )}
    </Field>
  );
}
