import type { ReactNode } from 'react';
import { Icon, type IconName } from './Icon.tsx';

/** What stands where nothing is yet: what it is, what to do, and a way to do it. */
export function Nothing(props: {
  icon: IconName;
  title: string;
  hint: string;
  busy?: boolean;
  children?: ReactNode;
}) {
  return (
    <div className="nothing" data-busy={props.busy} aria-busy={props.busy}>
      <Icon name={props.icon} size={32} />
      <h2>{props.title}</h2>
      <p>{props.hint}</p>
      {props.children}
    </div>
  );
}
