import type { ErrorBody } from '../core/contract/error-body.ts';
import type { ControlPort } from '../core/control/attach.ts';
import { channelProtocol } from '../core/control/channel-protocol.ts';
import { toMoveError } from '../core/runtime/errors.ts';
import type { ElectronAdapter, IpcEventAdapter, WebContentsAdapter } from './adapter.ts';
import { isAppAddress } from './app-address.ts';
import { type FromWindow, readFromWindow, type ToWindow } from './ipc-envelope.ts';

/** Messages that a window may send while its link is still being opened. */
const maximumEarlyMessages = 256;

interface Link {
  number: number;
  port: ControlPort | null;
  early: Extract<FromWindow, { kind: 'message' }>['message'][];
}

const noControl: ErrorBody = {
  code: 'CONTROL_ABSENT',
  message: 'No control plane runs for this window. It is tried again by itself; "move serve" starts one.',
};

/**
 * Relays between the one window and the control plane's socket: no message is read or changed here. Only
 * the top frame of the application's own page in that window is heard. A page has one link at a time; a
 * new one, a reload or a crash ends the one before.
 */
export function relayWindow(
  electron: Pick<ElectronAdapter, 'ipcMain'>,
  contents: WebContentsAdapter,
  connect: () => Promise<ControlPort | null>,
  log: (line: string) => void,
): void {
  let current: Link | null = null;

  const tell = (envelope: ToWindow) => {
    if (!contents.isDestroyed()) contents.send(channelProtocol, envelope);
  };
  const drop = () => {
    const link = current;
    current = null;
    link?.port?.close();
  };
  const end = (link: Link, error: ErrorBody | null) => {
    if (current !== link) return;
    drop();
    tell({ kind: 'closed', link: link.number, error });
  };

  const open = (number: number) => {
    drop();
    const link: Link = { number, port: null, early: [] };
    current = link;
    connect().then(
      (port) => {
        if (current !== link) {
          port?.close();
          return;
        }
        if (!port) {
          end(link, noControl);
          return;
        }
        link.port = port;
        port.onMessage((message) => {
          if (current === link) tell({ kind: 'message', link: number, message });
        });
        port.onClose((error) => end(link, error));
        for (const message of link.early.splice(0)) port.send(message);
      },
      (thrown: unknown) => end(link, toMoveError(thrown).toBody()),
    );
  };

  electron.ipcMain.on(channelProtocol, (event, value) => {
    if (!isOwnPage(event, contents)) {
      log(`refused a message from ${event.senderFrame?.url ?? 'a frame that is gone'}`);
      return;
    }
    const envelope = readFromWindow(value);
    if (!envelope) {
      log('refused a message that is none');
      return;
    }
    if (envelope.kind === 'open') {
      open(envelope.link);
      return;
    }
    const link = current;
    if (!link || link.number !== envelope.link) return;
    if (envelope.kind === 'close') end(link, null);
    else if (link.port) link.port.send(envelope.message);
    else if (link.early.length < maximumEarlyMessages) link.early.push(envelope.message);
    else
      end(link, { code: 'PEER_TOO_SLOW', message: 'The control plane did not answer in time. Try again.' });
  });
  contents.on('did-navigate', drop);
  contents.on('render-process-gone', drop);
  contents.on('destroyed', drop);
}

/** The main frame of the application's page in the one window. */
function isOwnPage(event: IpcEventAdapter, contents: WebContentsAdapter): boolean {
  return (
    event.sender.id === contents.id &&
    event.senderFrame !== null &&
    event.senderFrame.parent === null &&
    isAppAddress(event.senderFrame.url)
  );
}
