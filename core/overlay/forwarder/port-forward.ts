import type { Server } from 'node:net';
import { createServer } from 'node:net';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import { joinStreams } from '../join-streams.ts';
import type { ForwarderEvents } from './forwarder-event.ts';
import type { Ways } from './ways.ts';

/** One fixed local port that leads to one port of a service. */
export interface PortForward {
  localPort: number;
  service: string;
  port: number;
}

/** Reads `LOCALPORT=service:port`; local port 0 lets the system choose. @throws MoveError `FORWARD_INVALID`. */
export function parsePortForward(text: string): PortForward {
  const match = /^(\d{1,5})=([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?):(\d{1,5})$/i.exec(text.trim());
  const localPort = Number(match?.[1]);
  const port = Number(match?.[3]);
  if (!match || localPort > 65_535 || port < 1 || port > 65_535) {
    throw new MoveError(
      'FORWARD_INVALID',
      `"${text.slice(0, 100)}" is not a port forward; write LOCALPORT=service:port, as in 8080=shop.example:80.`,
    );
  }
  return { localPort, service: match[2]!.toLowerCase(), port };
}

/** A TCP server whose connections go to the service; a refused one is reset. */
export function createPortForward(
  forward: PortForward,
  parts: { ways: Ways; events: ForwarderEvents; openDeadlineMs: number },
): Server {
  return createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: false }, (socket) => {
    socket.on('error', () => undefined);
    parts.ways.open(forward.service, forward.port, parts.openDeadlineMs).then(
      ({ stream }) => {
        if (socket.destroyed) stream.destroy();
        else joinStreams(socket, stream);
      },
      (thrown: unknown) => {
        const { code, message } = toMoveError(thrown);
        parts.events({ type: 'refused', service: forward.service, code, message });
        socket.resetAndDestroy();
      },
    );
  });
}
