import type { ClientMessage, ServerMessage } from '../core/contract/channel.ts';
import type { ErrorBody } from '../core/contract/error-body.ts';
import { channelProtocol } from '../core/control/channel-protocol.ts';
import type { FromWindow, ToWindow } from './ipc-envelope.ts';

/** What the preload has of Electron. */
export interface RendererIpc {
  send(channel: string, message: FromWindow): void;
  on(channel: string, listener: (event: unknown, message: ToWindow) => void): unknown;
}

/** What stands in the page as `window.moveConsole`: a message port that can be used again after its end. */
export interface MoveConsoleBridge {
  /** Opens a link to the control plane where none is open. */
  send(message: ClientMessage): void;
  /** The newest listener replaces the one before. */
  onMessage(listener: (message: ServerMessage) => void): void;
  onClose(listener: (error: ErrorBody | null) => void): void;
  close(): void;
}

/** Makes the bridge over Electron's IPC; it carries messages and knows nothing of what they say. */
export function preloadBridge(ipc: RendererIpc): MoveConsoleBridge {
  let link = 0;
  let isOpen = false;
  let messageListener: (message: ServerMessage) => void = () => undefined;
  let closeListener: (error: ErrorBody | null) => void = () => undefined;

  const ended = (error: ErrorBody | null) => {
    isOpen = false;
    closeListener(error);
  };
  ipc.on(channelProtocol, (_event, envelope) => {
    if (!isOpen || envelope.link !== link) return;
    if (envelope.kind === 'message') messageListener(envelope.message);
    else ended(envelope.error);
  });

  return {
    send(message) {
      if (!isOpen) {
        link += 1;
        isOpen = true;
        ipc.send(channelProtocol, { kind: 'open', link });
      }
      ipc.send(channelProtocol, { kind: 'message', link, message });
    },
    onMessage(listener) {
      messageListener = listener;
    },
    onClose(listener) {
      closeListener = listener;
    },
    close() {
      if (!isOpen) return;
      ipc.send(channelProtocol, { kind: 'close', link });
      ended(null);
    },
  };
}
