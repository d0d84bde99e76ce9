import { z } from 'zod';
import type { ClientMessage, MessagePort, ServerMessage } from '../../contract/channel.ts';
import { connectControl } from '../../control/attach.ts';
import { type BrowserHost, startBrowserHost } from '../../control/browser-host/browser-host.ts';
import { controlSocketPath } from '../../control/control-home.ts';
import { toMoveError } from '../../runtime/errors.ts';
import { relayPorts } from '../../runtime/message-ports/relay-ports.ts';
import type { Command } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { bringUp } from '../launch/bring-up.ts';
import { type OpenedWindow, openBrowserWindow, openElectronWindow } from '../launch/browser-window.ts';
import { chromiumBinary, electronBinary, hasDisplay } from '../launch/window-binaries.ts';
import { productRoot, rendererDirectory } from '../product-root.ts';

/** `move start`, which is what `npm start` runs: the lab, the control plane, and a window on them. */
export const startCommand: Command = {
  path: ['start'],
  summary: 'Brings up the lab and the control plane where they do not run, and opens the console on them.',
  options: {
    'no-window': { type: 'flag', docs: 'Open no window; print a one-time address for a browser instead.' },
    browser: { type: 'flag', docs: 'Use a Chromium window even where Electron is installed.' },
    'browser-port': { type: 'number', docs: 'The loopback port for a browser; without it a free one.' },
    keep: { type: 'flag', docs: 'Leave lab and control plane running at the end.' },
  },
  output: () =>
    z.object({
      ready: z.literal(true),
      socket: z.string(),
      shell: z.enum(['electron', 'chromium', 'none']),
      address: z.string().optional().describe('lets one browser in, once, within a minute'),
    }),
  async run(context, parsed) {
    const started = await bringUp(context, { startControl: true, keepAlive: true });
    let browser: BrowserHost | undefined;
    let window: OpenedWindow | undefined;
    try {
      const canShow = !parsed.flag('no-window') && hasDisplay(context.environment);
      const electron = canShow && !parsed.flag('browser') ? electronBinary(context.environment) : null;
      const chromium = canShow && !electron ? chromiumBinary(context.environment) : null;
      const socket = controlSocketPath(context.home);
      if (electron) {
        window = openElectronWindow(electron, productRoot(), context.home, context.environment);
        context.print({ ready: true, socket, shell: 'electron' });
      } else {
        browser = await openBrowserDoor(context, parsed.number('browser-port') ?? 0);
        const address = browser.issueAddress();
        if (chromium) {
          window = openBrowserWindow(chromium, address, context.environment);
          context.print({ ready: true, socket, shell: 'chromium' });
        } else {
          context.print({ ready: true, socket, shell: 'none', address });
          context.say('Open the address above in a browser on this machine within a minute; it works once.');
        }
      }
      const ended = window?.closed ?? new Promise<void>(() => undefined);
      await Promise.race([ended, interrupted(context.signal), offerAddresses(context, browser, window)]);
    } finally {
      await window?.close();
      await browser?.close();
      if (!parsed.flag('keep')) await started.takeDown();
    }
    return 0;
  },
};

function interrupted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Without a window, a line on the terminal asks for another one-time address. Never resolves. */
function offerAddresses(
  context: CommandContext,
  browser: BrowserHost | undefined,
  window: OpenedWindow | undefined,
): Promise<void> {
  if (browser && !window && context.onLine) {
    context.say('Press Enter for another address, Ctrl-C to end.');
    context.onLine(() => context.say(browser.issueAddress()));
  }
  return new Promise<void>(() => undefined);
}

/** A browser host whose windows are relayed to the control plane's socket, as Electron's are. */
function openBrowserDoor(context: CommandContext, port: number): Promise<BrowserHost> {
  const accept = (channel: MessagePort<ServerMessage, ClientMessage>) => {
    connectControl(context.home, 'window').then(
      (control) => {
        if (control) relayPorts(channel, control);
        else channel.close();
      },
      (thrown: unknown) => {
        context.say(toMoveError(thrown).message);
        channel.close();
      },
    );
  };
  return startBrowserHost({ directory: rendererDirectory(), port, log: context.say, accept });
}
