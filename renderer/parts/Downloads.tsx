import { useState } from 'react';
import { Icon } from './Icon.tsx';

/** A file that can be saved. */
export interface Download {
  id: string;
  label: string;
  save(): void;
}

/** Files to be saved, the most wanted first; those that were saved are ticked. */
export function Downloads(props: { files: readonly Download[]; onSaved?(id: string): void }) {
  const [saved, setSaved] = useState<readonly string[]>([]);
  return (
    <div className="downloads">
      {props.files.map((file, index) => (
        <button
          key={file.id}
          type="button"
          className={index === 0 ? 'button primary' : 'button'}
          data-autofocus={index === 0 ? true : undefined}
          onClick={() => {
            file.save();
            setSaved([...saved, file.id]);
            props.onSaved?.(file.id);
          }}
        >
          <Icon name={saved.includes(file.id) ? 'check' : 'download'} size={16} />
          {file.label}
        </button>
      ))}
    </div>
  );
}
