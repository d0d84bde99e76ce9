import type { ControlPort } from '../core/control/attach.ts';
import type { ElectronAdapter, WindowAdapter, WindowOptions } from './adapter.ts';
import { appPage, appScheme } from './app-address.ts';
import { appProtocolHandler, privilegedAppScheme } from './app-protocol.ts';
import { hardenAll, hardenSession } from './hardening.ts';
import { relayWindow } from './window-relay.ts';
import { rememberBounds, rememberedBounds, smallestWindow } from './window-size.ts';

export interface ShellOptions {
  /** The built renderer. */
  rendererDirectory: string;
  /** The built preload script, CommonJS. */
  preloadPath: string;
  /** Opens a port to the control plane; null where none runs. */
  connect: () => Promise<ControlPort | null>;
  log: (line: string) => void;
}

/** One hardened window: no Node in the page, a sandbox around it, no way to switch either off. */
export function windowOptions(
  preloadPath: string,
  bounds: { width: number; height: number; x?: number; y?: number },
): WindowOptions {
  return {
    title: 'MOVE Console',
    ...bounds,
    minWidth: smallestWindow.width,
    minHeight: smallestWindow.height,
    show: false,
    backgroundColor: '#0b0e13',
    webPreferences: {
      preload: preloadPath,
      contextIsolation: true,
      sandbox: true,
      nodeIntegration: false,
      nodeIntegrationInWorker: false,
      nodeIntegrationInSubFrames: false,
      webSecurity: true,
      webviewTag: false,
      allowRunningInsecureContent: false,
      experimentalFeatures: false,
      navigateOnDragDrop: false,
      spellcheck: false,
    },
  };
}

/**
 * Runs the desktop shell: one instance, one window, closed off from everything but the control plane.
 * Answers the window, or null when another instance has it (which then comes to the front).
 */
export async function runShell(
  electron: ElectronAdapter,
  options: ShellOptions,
): Promise<WindowAdapter | null> {
  const { app } = electron;
  if (!app.requestSingleInstanceLock()) {
    app.quit();
    return null;
  }
  app.enableSandbox();
  electron.protocol.registerSchemesAsPrivileged([privilegedAppScheme]);
  hardenAll(electron);
  let window: WindowAdapter | null = null;
  app.on('second-instance', () => {
    if (!window) return;
    if (window.isMinimized()) window.restore();
    window.focus();
  });
  app.on('window-all-closed', () => app.quit());

  await app.whenReady();
  hardenSession(electron.session.defaultSession);
  electron.protocol.handle(appScheme, appProtocolHandler(options.rendererDirectory));
  const memory = app.getPath('userData');
  const opened = new electron.BrowserWindow(windowOptions(options.preloadPath, rememberedBounds(memory)));
  window = opened;
  opened.removeMenu();
  opened.once('ready-to-show', () => opened.show());
  opened.on('close', () => rememberBounds(memory, opened.getNormalBounds(), options.log));
  relayWindow(electron, opened.webContents, options.connect, options.log);
  await opened.loadURL(appPage);
  return opened;
}
