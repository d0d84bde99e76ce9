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
import { labStanding } from '../launch/lab-standing.ts';
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
      ready: z.boolean().describe('whether every host of the lab and its service answer'),
      text: z.string().describe('the same as a sentence, which says what does not answer'),
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
      // A window shows by itself what is still being made; the line is for those who wait for it.
      if (electron) window = openElectronWindow(electron, productRoot(), context.home, context.environment);
      else browser = await openBrowserDoor(context, parsed.number('browser-port') ?? 0);
      if (browser && chromium)
        window = openBrowserWindow(chromium, browser.issueAddress(), context.environment);
      const ended = Promise.race([
        window?.closed ?? new Promise<void>(() => undefined),
        interrupted(context.signal),
      ]);
      context.say('The control plane answers; reaching the hosts and starting the service.');
      const standing = await Promise.race([labStanding(context), ended]);
      if (!standing || context.signal.aborted) return 0;
      if (!standing.ready) context.say(`Not everything is as it should be: ${standing.text}`);
      if (window) context.print({ ...standing, socket, shell: electron ? 'electron' : 'chromium' });
      else if (browser) {
        context.print({ ...standing, socket, shell: 'none', address: browser.issueAddress() });
        context.say('Open the address above in a browser on this machine within a minute; it works once.');
      }
      await Promise.race([ended, offerAddresses(context, browser, window)]);
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
