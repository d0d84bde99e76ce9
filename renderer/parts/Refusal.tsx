import type { Fault } from '../store/ui-store.ts';

/** Why core refused what a dialog asked for: its sentence and its code, where the person is looking. */
export function Refusal({ fault }: { fault: Fault | null }) {
  if (!fault) return null;
  return (
    <p className="refusal" role="alert" ref={(shown) => shown?.scrollIntoView({ block: 'nearest' })}>
      {fault.message} <code>{fault.code}</code>
    </p>
  );
}
