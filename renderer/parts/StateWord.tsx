import type { ReactNode } from 'react';

export type Tone = 'good' | 'attack' | 'decision' | 'path' | 'lifeline' | 'past' | 'muted';

/** A state as a word in the colour of its meaning. */
export function StateWord({ tone, children }: { tone: Tone; children: ReactNode }) {
  return (
    <span className="state-word" data-tone={tone}>
      {children}
    </span>
  );
}
