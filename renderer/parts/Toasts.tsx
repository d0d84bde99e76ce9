import { useUi } from '../store/ui-store.ts';
import { text } from '../text.ts';
import { Icon } from './Icon.tsx';

/** Short messages; a fault shows its sentence and its code, and stays until dismissed. */
export function Toasts() {
  const toasts = useUi((ui) => ui.toasts);
  const dismiss = useUi((ui) => ui.dismiss);
  return (
    <section className="toasts" aria-label={text.toasts}>
      {toasts.map((toast) => (
        <div
          key={toast.id}
          className={`toast ${toast.tone}`}
          role={toast.tone === 'bad' ? 'alert' : 'status'}
        >
          <Icon name={toast.tone === 'bad' ? 'attack' : 'check'} />
          <div>
            <p>{toast.message}</p>
            {toast.code && <code>{toast.code}</code>}
          </div>
          <button
            type="button"
            className="icon-button"
            aria-label={text.dismiss}
            onClick={() => dismiss(toast.id)}
          >
            <Icon name="close" size={14} />
          </button>
        </div>
      ))}
    </section>
  );
}
