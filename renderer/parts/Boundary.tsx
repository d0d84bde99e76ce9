import { Component, type ReactNode } from 'react';
import { text } from '../text.ts';
import { Nothing } from './Nothing.tsx';

/** Keeps a fault of one room inside that room. */
export class Boundary extends Component<{ children: ReactNode }, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override render(): ReactNode {
    if (!this.state.failed) return this.props.children;
    return (
      <Nothing icon="attack" title={text.crashed} hint={text.crashedHint}>
        <button type="button" className="button" onClick={() => window.location.reload()}>
          {text.reload}
        </button>
      </Nothing>
    );
  }
}
