import { type ReactNode, useId } from 'react';

/** What a control in a field takes over, so that its label, hint and fault belong to it. */
export interface FieldIds {
  id: string;
  'aria-describedby': string;
  'aria-invalid': boolean;
}

/** A control with its label, and below it what is wrong with it, else what to put in. */
export function Field(props: {
  label: string;
  hint?: string | undefined;
  fault?: string | undefined;
  children(ids: FieldIds): ReactNode;
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
