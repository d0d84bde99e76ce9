import { text } from '../text.ts';

/** The end of a form in a dialog: leave it, or send it. */
export function FormActions(props: { submit: string; disabled: boolean; onCancel: () => void }) {
  return (
    <div className="actions end">
      <button type="button" className="button" onClick={props.onCancel}>
        {text.cancel}
      </button>
      <button type="submit" className="button primary" disabled={props.disabled}>
        {props.submit}
      </button>
    </div>
  );
}
