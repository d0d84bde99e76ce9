import fs from 'node:fs';
import net from 'node:net';
import type { ClientMessage, Handlers, MessagePort, ServerMessage } from '../contract/channel.ts';
import { serveContract } from '../contract/channel.ts';
import { type Contract, contract } from '../contract/contract.ts';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { jsonLinesPort } from '../runtime/message-ports/json-lines-port.ts';
import { type AttachMessage, attachMessageSchema } from './attach-message.ts';
import type { Caller } from './caller.ts';
import { controlSocketPath } from './control-home.ts';
import type { HomeLock } from './home-lock.ts';

/** Shells that may be attached at once; one more is closed at the door. */
const maximumConnections = 64;

export interface LocalDoor {
  readonly socketPath: string;
  /** Closes every connection and removes the socket. The lock stays with its owner. */
  close(): Promise<void>;
}

export interface LocalDoorOptions {
  /** Proves that this process is the only control plane of the home, so that a socket found is stale. */
  lock: HomeLock;
  handlers: Handlers<Contract, Caller>;
  log: (line: string) => void;
}

/**
 * Opens `control.sock` in the locked home (directory 0700, socket 0600) and serves the contract to
 * every connection.
 * @throws MoveError `DOOR_BLOCKED` when the socket cannot be made.
 */
export async function openLocalDoor(options: LocalDoorOptions): Promise<LocalDoor> {
  const socketPath = controlSocketPath(options.lock.home);
  const ports = new Set<MessagePort<ServerMessage, ClientMessage>>();
  const server = net.createServer((socket) => {
    const port = jsonLinesPort<ServerMessage, ClientMessage>(socket);
    ports.add(port);
    port.onClose((error) => {
      ports.delete(port);
      if (error) options.log(`local door: a shell's connection ended: ${error.code}: ${error.message}`);
    });
    serveShell(port, options);
  });
  server.maxConnections = maximumConnections;
  server.on('drop', () => options.log(`local door: refused a shell, ${maximumConnections} are attached`));

  fs.rmSync(socketPath, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      reject(
        new MoveError(
          'DOOR_BLOCKED',
          `The socket ${socketPath} cannot be opened: ${cause.message}. Check the state directory or choose another --home.`,
          { socketPath },
          cause,
        ),
      );
    });
    server.listen(socketPath, () => resolve());
  });
  server.on('error', (error) => options.log(`local door: ${error.message}`));
  fs.chmodSync(socketPath, 0o600);

  return {
    socketPath,
    close() {
      return new Promise((resolve) => {
        server.close(() => {
          fs.rmSync(socketPath, { force: true });
          resolve();
        });
        for (const port of ports) port.close();
      });
    },
  };
}

/** Serves one shell over any port that carries the local socket's messages: greeting first, if any. */
export function serveShell(
  port: MessagePort<ServerMessage, ClientMessage>,
  options: Pick<LocalDoorOptions, 'handlers' | 'log'>,
): void {
  const caller: Caller = { kind: 'terminal' };
  const greeted: MessagePort<ServerMessage, ClientMessage> = {
    send: (message) => port.send(message),
    onClose: (listener) => port.onClose(listener),
    close: () => port.close(),
    onMessage(listener) {
      let first = true;
      port.onMessage((message: ClientMessage | AttachMessage) => {
        const isGreeting = first && 'attach' in message;
        first = false;
        if (!isGreeting) {
          listener(message as ClientMessage);
          return;
        }
        const greeting = attachMessageSchema.safeParse(message);
        if (greeting.success) caller.kind = greeting.data.attach;
        else {
          options.log('local door: a shell with another version of the protocol was turned away');
          port.close();
        }
      });
    },
  };
  serveContract(contract, options.handlers, caller, greeted, describeFault(options.log));
}

/** Turns what a handler threw into an error body, and logs what was not meant for people. */
export function describeFault(log: (line: string) => void) {
  return (thrown: unknown, method: string) => {
    const error = toMoveError(thrown);
    if (!(thrown instanceof MoveError))
      log(`${method} failed: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}`);
    return error.toBody();
  };
}
