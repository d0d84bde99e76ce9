import type { ReactNode } from 'react';

/** The frame of a room: its title, its actions, its content. */
export function Room(props: { title: string; actions?: ReactNode; children: ReactNode; wide?: boolean }) {
  return (
    <div className="room" data-wide={props.wide}>
      <header className="room-head">
        <h1>{props.title}</h1>
        <div className="actions">{props.actions}</div>
      </header>
      {props.children}
    </div>
  );
}
