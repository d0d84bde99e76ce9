import type { ElectronAdapter, SessionAdapter, WebContentsAdapter } from './adapter.ts';
import { isAppAddress } from './app-address.ts';

/** Refuses every permission, every device and every request that is not for the application's own files. */
export function hardenSession(session: SessionAdapter): void {
  session.setPermissionRequestHandler((_contents, _permission, callback) => callback(false));
  session.setPermissionCheckHandler(() => false);
  session.setDevicePermissionHandler(() => false);
  session.webRequest.onBeforeRequest((details, callback) => {
    callback({ cancel: !isOwnContent(details.url) });
  });
}

/** Keeps whatever page there is where it is: no other page, no window, no guest. */
export function hardenContents(contents: WebContentsAdapter): void {
  contents.setWindowOpenHandler(() => ({ action: 'deny' }));
  const stay = (event: { url: string; preventDefault(): void }) => {
    if (!isAppAddress(event.url)) event.preventDefault();
  };
  contents.on('will-frame-navigate', stay);
  contents.on('will-redirect', stay);
  contents.on('will-attach-webview', (event) => event.preventDefault());
}

/** Hardens all contents that ever come to be. */
export function hardenAll(electron: Pick<ElectronAdapter, 'app'>): void {
  electron.app.on('web-contents-created', (_event, contents) => hardenContents(contents));
}

/** The application's files, what its page made itself (downloads, images), and its developer tools. */
function isOwnContent(address: string): boolean {
  if (isAppAddress(address)) return true;
  if (address.startsWith('data:image/')) return true;
  if (address.startsWith('blob:')) return isAppAddress(address.slice('blob:'.length));
  return address.startsWith('devtools://devtools/');
}
