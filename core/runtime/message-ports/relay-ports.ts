import type { MessagePort } from '../../contract/channel.ts';
import type { ErrorBody } from '../../contract/error-body.ts';

/** Joins two ports: what one receives the other sends, and when one ends the other is closed. */
export function relayPorts<A, B>(
  left: MessagePort<A, B>,
  right: MessagePort<B, A>,
  onEnd: (error: ErrorBody | null) => void = () => undefined,
): void {
  let over = false;
  const end = (other: { close(): void }) => (error: ErrorBody | null) => {
    other.close();
    if (over) return;
    over = true;
    onEnd(error);
  };
  left.onClose(end(right));
  right.onClose(end(left));
  left.onMessage((message) => right.send(message));
  right.onMessage((message) => left.send(message));
}
