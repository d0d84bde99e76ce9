import type { MessagePort } from '../../contract/channel.ts';
import type { ErrorBody } from '../../contract/error-body.ts';
import { maximumUnsentBytes, slowPeerError } from './port-errors.ts';
import { PortListeners } from './port-listeners.ts';

interface Parcel {
  text: string;
  bytes: number;
}

class MemoryEnd<Out extends object, In extends object> implements MessagePort<Out, In> {
  readonly listeners = new PortListeners<In>();
  private readonly limitBytes: number;
  private inbox: Parcel[] = [];
  private inboxBytes = 0;
  private scheduled = false;
  private peerEnded: { error: ErrorBody | null } | undefined;
  private peer: MemoryEnd<In, Out> | undefined;

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  join(peer: MemoryEnd<In, Out>): void {
    this.peer = peer;
  }

  send(message: Out): void {
    if (!this.listeners.isEnded) this.peer?.take(JSON.stringify(message), this);
  }

  onMessage(listener: (message: In) => void): void {
    this.listeners.onMessage(listener);
    this.schedule();
  }

  onClose(listener: (error: ErrorBody | null) => void): void {
    this.listeners.onClose(listener);
  }

  close(): void {
    if (this.listeners.isEnded) return;
    this.listeners.end(null);
    this.peer?.takeEnd(null);
  }

  private take(text: string, from: MemoryEnd<In, Out>): void {
    if (this.listeners.isEnded || this.peerEnded) return;
    const bytes = Buffer.byteLength(text);
    if (this.inboxBytes + bytes > this.limitBytes) {
      const error = slowPeerError(this.inboxBytes);
      from.listeners.end(error);
      this.takeEnd(error);
      return;
    }
    this.inbox.push({ text, bytes });
    this.inboxBytes += bytes;
    this.schedule();
  }

  private takeEnd(error: ErrorBody | null): void {
    this.peerEnded ??= { error };
    this.schedule();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      this.drain();
    });
  }

  private drain(): void {
    while (this.listeners.hasListener && !this.listeners.isEnded) {
      const parcel = this.inbox.shift();
      if (!parcel) break;
      this.inboxBytes -= parcel.bytes;
      this.listeners.deliver(JSON.parse(parcel.text) as In);
    }
    if (this.peerEnded && this.inbox.length === 0) this.listeners.end(this.peerEnded.error);
  }
}

/**
 * Two joined ports inside one process. Messages go through JSON, so that what works here works over a
 * wire, and arrive in order after the sender's current turn. What waits for a listener is bounded.
 */
export function memoryPorts<A extends object, B extends object>(
  limitBytes: number = maximumUnsentBytes,
): [MessagePort<A, B>, MessagePort<B, A>] {
  const left = new MemoryEnd<A, B>(limitBytes);
  const right = new MemoryEnd<B, A>(limitBytes);
  left.join(right);
  right.join(left);
  return [left, right];
}
