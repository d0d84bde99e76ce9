import { Fragment, useEffect, useState } from 'react';
import { copyText } from '../copy.ts';
import { say } from '../store/ui-store.ts';
import { text } from '../text.ts';
import { Icon } from './Icon.tsx';

const saidForMs = 2_000;

/** A line to be taken somewhere else word for word, and the button that copies it. */
export function CopyBox(props: { label: string; content: string; autofocus?: boolean; onCopied?(): void }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), saidForMs);
    return () => clearTimeout(timer);
  }, [copied]);
  const copy = () => {
    if (!copyText(props.content)) return say('bad', text.copy.failed);
    setCopied(true);
    props.onCopied?.();
  };
  return (
    <div className="copy-box">
      <code>
        {props.content.split(' ').map((word, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: words come again, and stay where they are
          <Fragment key={index}>
            {index > 0 && ' '}
            <span>{word}</span>
          </Fragment>
        ))}
      </code>
      <button
        type="button"
        className="button small"
        data-autofocus={props.autofocus || undefined}
        aria-label={copied ? text.copy.done : text.copy.what(props.label)}
        onClick={copy}
      >
        <Icon name={copied ? 'check' : 'copy'} size={14} />
        {copied ? text.copy.done : text.copy.button}
      </button>
    </div>
  );
}
