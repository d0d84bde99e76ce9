import type { ErrorBody } from '../../contract/error-body.ts';

/**
 * The listener side that every message port shares: holds what came before anybody listened, delivers
 * in order, and reports the end exactly once, after the last message.
 */
export class PortListeners<In> {
  private messageListener: ((message: In) => void) | undefined;
  private closeListeners: ((error: ErrorBody | null) => void)[] = [];
  private readonly early: In[] = [];
  private ended: { error: ErrorBody | null } | undefined;
  private reported = false;

  /** True once {@link end} was called; nothing is delivered or sent from then on. */
  get isEnded(): boolean {
    return this.ended !== undefined;
  }

  get hasListener(): boolean {
    return this.messageListener !== undefined;
  }

  /** Hands a message to the listener, or keeps it until there is one. */
  deliver(message: In): void {
    if (this.ended) return;
    if (this.messageListener) this.messageListener(message);
    else this.early.push(message);
  }

  /** The newest listener takes over; what waited reaches it first. */
  onMessage(listener: (message: In) => void): void {
    this.messageListener = listener;
    for (let message = this.early.shift(); message !== undefined; message = this.early.shift())
      listener(message);
  }

  onClose(listener: (error: ErrorBody | null) => void): void {
    if (this.reported) queueMicrotask(() => listener(this.ended?.error ?? null));
    else this.closeListeners.push(listener);
  }

  /** Ends the port; the first call decides the error that listeners see. */
  end(error: ErrorBody | null): void {
    if (this.ended) return;
    this.ended = { error };
    queueMicrotask(() => {
      this.reported = true;
      const listeners = this.closeListeners;
      this.closeListeners = [];
      for (const listener of listeners) listener(error);
    });
  }
}
