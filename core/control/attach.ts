import net from 'node:net';
import {
  type Client,
  type ClientMessage,
  createClient,
  type MessagePort,
  type ServerMessage,
} from '../contract/channel.ts';
import type { Contract } from '../contract/contract.ts';
import { MoveError } from '../runtime/errors.ts';
import { jsonLinesPort } from '../runtime/message-ports/json-lines-port.ts';
import type { Caller } from './caller.ts';
import { channelProtocol } from './channel-protocol.ts';
import { controlSocketPath } from './control-home.ts';

/** Milliseconds in which a local control plane accepts a connection. */
const connectDeadlineMs = 2000;

/** A port to the control plane of a home. */
export type ControlPort = MessagePort<ClientMessage, ServerMessage>;

/**
 * Connects to the control plane of a home. Answers null where none listens (no socket, or a stale one).
 * @throws MoveError `CONTROL_UNREACHABLE` when a socket is there but cannot be used.
 */
export function connectControl(home: string, kind: Caller['kind']): Promise<ControlPort | null> {
  const socketPath = controlSocketPath(home);
  return new Promise((resolve, reject) => {
    const socket = net.connect(socketPath);
    const unreachable = (reason: string, cause?: Error) =>
      new MoveError(
        'CONTROL_UNREACHABLE',
        `The control plane's socket ${socketPath} cannot be used: ${reason}. Run the command as the user who started the control plane.`,
        { socketPath },
        cause,
      );
    const timer = setTimeout(() => {
      socket.destroy();
      reject(unreachable(`it did not accept within ${connectDeadlineMs} ms`));
    }, connectDeadlineMs);
    const onError = (error: NodeJS.ErrnoException) => {
      clearTimeout(timer);
      if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') resolve(null);
      else reject(unreachable(error.message, error));
    };
    socket.once('error', onError);
    socket.once('connect', () => {
      clearTimeout(timer);
      socket.off('error', onError);
      socket.write(`${JSON.stringify({ attach: kind, protocol: channelProtocol })}\n`);
      resolve(jsonLinesPort<ClientMessage, ServerMessage>(socket));
    });
  });
}

/** As {@link connectControl}, with typed calls on top. */
export async function attachControl(home: string, kind: Caller['kind']): Promise<Client<Contract> | null> {
  const port = await connectControl(home, kind);
  return port && createClient<Contract>(port);
}
