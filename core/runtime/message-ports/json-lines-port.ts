import type { Duplex } from 'node:stream';
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

export interface JsonLinesOptions {
  /** Bytes of the longest line, both ways. Default 8 MiB. */
  maximumLineBytes?: number;
  /** Bytes that may wait for a slow peer. Default 32 MiB. */
  maximumUnsentBytes?: number;
  /** Milliseconds that `close()` gives what was sent to leave and the peer to end too. Default 1000. */
  flushDeadlineMs?: number;
}

const newline = 0x0a;

/**
 * Carries messages as newline-delimited JSON over any ordered byte stream (unix socket, SSH channel,
 * link stream). Reading starts with the first `onMessage`, so nothing is lost or buffered before it.
 * Input that is not a JSON object a line, is not UTF-8 or is longer than the limit ends the port with
 * `PROTOCOL_ERROR`; a peer that does not read ends it with `PEER_TOO_SLOW`. `close` lets what was sent
 * leave first, within a deadline.
 */
export function jsonLinesPort<Out extends object, In extends object>(
  duplex: Duplex,
  options: JsonLinesOptions = {},
): MessagePort<Out, In> {
  const lineLimit = options.maximumLineBytes ?? maximumMessageBytes;
  const unsentLimit = options.maximumUnsentBytes ?? maximumUnsentBytes;
  const listeners = new PortListeners<In>();
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let parts: Buffer[] = [];
  let partBytes = 0;
  let reading = false;

  const fail = (error: ErrorBody) => {
    parts = [];
    listeners.end(error);
    duplex.destroy();
  };

  const takeLine = (line: Buffer) => {
    let text: string;
    try {
      text = decoder.decode(line);
    } catch {
      fail(protocolError('a message is not UTF-8'));
      return;
    }
    const parsed = parseMessage(text);
    if ('problem' in parsed) fail(protocolError(parsed.problem));
    else listeners.deliver(parsed.message as In);
  };

  const takeChunk = (chunk: Buffer) => {
    let start = 0;
    while (start < chunk.length && !listeners.isEnded) {
      const end = chunk.indexOf(newline, start);
      const piece = chunk.subarray(start, end < 0 ? chunk.length : end);
      if (partBytes + piece.length > lineLimit) {
        fail(protocolError(`a message is longer than ${lineLimit} bytes`));
        return;
      }
      parts.push(piece);
      partBytes += piece.length;
      if (end < 0) return;
      const line = parts.length === 1 ? piece : Buffer.concat(parts, partBytes);
      parts = [];
      partBytes = 0;
      start = end + 1;
      takeLine(line);
    }
  };

  const finish = () => {
    listeners.end(partBytes > 0 ? brokenError('it ended in the middle of a message') : null);
    if (!duplex.writableEnded) duplex.end();
  };
  duplex.on('end', finish);
  duplex.on('error', (error) => listeners.end(brokenError(error.message)));
  duplex.on('close', finish);

  return {
    send(message) {
      if (listeners.isEnded || duplex.destroyed || duplex.writableEnded) return;
      const line = Buffer.from(`${JSON.stringify(message)}\n`, 'utf8');
      if (line.length - 1 > lineLimit) {
        fail(protocolError(`this side wanted to send a message longer than ${lineLimit} bytes`));
        return;
      }
      if (duplex.writableLength + line.length > unsentLimit) {
        fail(slowPeerError(duplex.writableLength));
        return;
      }
      duplex.write(line);
    },
    onMessage(listener) {
      listeners.onMessage(listener);
      if (reading) return;
      reading = true;
      duplex.on('data', takeChunk);
    },
    onClose: (listener) => listeners.onClose(listener),
    close() {
      if (listeners.isEnded) return;
      listeners.end(null);
      // What still comes is read and dropped: closing over unread input would reset the peer, and the
      // last messages with it.
      duplex.resume();
      const timer = setTimeout(() => duplex.destroy(), options.flushDeadlineMs ?? 1000);
      timer.unref();
      duplex.once('close', () => clearTimeout(timer));
      duplex.end();
    },
  };
}
