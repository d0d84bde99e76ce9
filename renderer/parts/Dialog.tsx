import { type ReactNode, useEffect, useId, useRef } from 'react';
import { text } from '../text.ts';
import { Icon } from './Icon.tsx';

/** A modal dialog on the platform's own element: it keeps the focus, Escape closes it, focus returns. */
export function Dialog(props: {
  title: string;
  hideTitle?: boolean;
  className?: string;
  onClose(): void;
  children: ReactNode;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const title = useId();
  const { onClose } = props;
  useEffect(() => {
    const element = dialog.current!;
    const before = document.activeElement;
    if (!element.open) element.showModal();
    element.querySelector<HTMLElement>('[data-autofocus]')?.focus();
    return () => {
      element.close();
      if (before instanceof HTMLElement) before.focus({ preventScroll: true });
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      className={`dialog ${props.className ?? ''}`}
      aria-labelledby={props.hideTitle ? undefined : title}
      aria-label={props.hideTitle ? props.title : undefined}
      onKeyDown={(event) => {
        if (event.key !== 'Escape') return;
        event.preventDefault();
        event.stopPropagation();
        onClose();
      }}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === dialog.current && onClose()}
    >
      <div className="dialog-body">
        {!props.hideTitle && (
          <header>
            <h2 id={title}>{props.title}</h2>
            <button type="button" className="icon-button" aria-label={text.close} onClick={onClose}>
              <Icon name="close" size={16} />
            </button>
          </header>
        )}
        {props.children}
      </div>
    </dialog>
  );
}
