import type { RawData, WebSocket } from 'ws';
import type { MessagePort } from '../../contract/channel.ts';
import type { ErrorBody } from '../../contract/error-body.ts';
import {
  brokenError,
  maximumMessageBytes,
  maximumUnsentBytes,
  parseMessage,
  protocolError,
  slowPeerError,
} from './port-errors.ts';
import { PortListeners } from './port-listeners.ts';

export interface WebSocketPortOptions {
  /** Bytes that may wait for a slow peer. Default 32 MiB. */
  maximumUnsentBytes?: number;
  /** Milliseconds that the closing handshake may take before the socket is torn down. Default 1000. */
  closeDeadlineMs?: number;
}

/** RFC 6455, section 7.4.1. */
const closeCodes = { normal: 1000, policy: 1008, badData: 1007 } as const;

/**
 * Carries messages over an accepted, open WebSocket of the `ws` package, one JSON object a text
 * message. The length of incoming messages is bounded by the server's `maxPayload`. The socket is
 * paused until somebody listens. Binary or malformed input ends the port with `PROTOCOL_ERROR`, a peer
 * that does not read with `PEER_TOO_SLOW`.
 */
export function webSocketPort<Out extends object, In extends object>(
  socket: WebSocket,
  options: WebSocketPortOptions = {},
): MessagePort<Out, In> {
  const unsentLimit = options.maximumUnsentBytes ?? maximumUnsentBytes;
  const listeners = new PortListeners<In>();
  socket.pause();

  const shut = (code: number, error: ErrorBody | null) => {
    listeners.end(error);
    socket.resume();
    const timer = setTimeout(() => socket.terminate(), options.closeDeadlineMs ?? 1000);
    timer.unref();
    socket.once('close', () => clearTimeout(timer));
    socket.close(code, error?.code);
  };

  socket.on('message', (data: RawData, isBinary: boolean) => {
    if (listeners.isEnded) return;
    if (isBinary) {
      shut(closeCodes.badData, protocolError('a message is binary'));
      return;
    }
    const parsed = parseMessage(String(data));
    if ('problem' in parsed) shut(closeCodes.badData, protocolError(parsed.problem));
    else listeners.deliver(parsed.message as In);
  });
  let broken: string | undefined;
  socket.on('error', (error) => {
    broken = error.message;
  });
  socket.on('close', () => {
    listeners.end(broken === undefined ? null : brokenError(broken));
  });

  return {
    send(message) {
      if (listeners.isEnded || socket.readyState !== socket.OPEN) return;
      const text = JSON.stringify(message);
      const bytes = Buffer.byteLength(text);
      if (bytes > maximumMessageBytes)
        shut(
          closeCodes.policy,
          protocolError(`this side wanted to send a message longer than ${maximumMessageBytes} bytes`),
        );
      else if (socket.bufferedAmount + bytes > unsentLimit) {
        listeners.end(slowPeerError(socket.bufferedAmount));
        socket.terminate();
      } else socket.send(text);
    },
    onMessage(listener) {
      listeners.onMessage(listener);
      socket.resume();
    },
    onClose: (listener) => listeners.onClose(listener),
    close() {
      if (!listeners.isEnded) shut(closeCodes.normal, null);
    },
  };
}
