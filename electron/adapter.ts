/**
 * The part of Electron that the shell uses, and nothing more. Electron's own module satisfies it (the
 * compiler checks that in main.ts); under Node, tests satisfy it without the binary.
 */
export interface ElectronAdapter {
  app: {
    requestSingleInstanceLock(): boolean;
    enableSandbox(): void;
    whenReady(): Promise<void>;
    quit(): void;
    exit(code?: number): void;
    getPath(name: 'userData'): string;
    on(event: 'second-instance', listener: () => void): unknown;
    on(event: 'window-all-closed', listener: () => void): unknown;
    on(
      event: 'web-contents-created',
      listener: (event: unknown, contents: WebContentsAdapter) => void,
    ): unknown;
  };
  protocol: {
    registerSchemesAsPrivileged(schemes: PrivilegedScheme[]): void;
    handle(scheme: string, handler: (request: Request) => Response | Promise<Response>): void;
  };
  session: { defaultSession: SessionAdapter };
  ipcMain: {
    on(channel: string, listener: (event: IpcEventAdapter, message: unknown) => void): unknown;
  };
  BrowserWindow: new (options: WindowOptions) => WindowAdapter;
}

export interface PrivilegedScheme {
  scheme: string;
  privileges: { standard: boolean; secure: boolean; supportFetchAPI: boolean; codeCache: boolean };
}

export interface SessionAdapter {
  setPermissionRequestHandler(
    handler: (contents: unknown, permission: string, callback: (granted: boolean) => void) => void,
  ): void;
  setPermissionCheckHandler(handler: () => boolean): void;
  setDevicePermissionHandler(handler: () => boolean): void;
  webRequest: {
    onBeforeRequest(
      listener: (details: { url: string }, callback: (response: { cancel?: boolean }) => void) => void,
    ): void;
  };
}

export interface PreventableEvent {
  preventDefault(): void;
}

export interface WebContentsAdapter {
  readonly id: number;
  isDestroyed(): boolean;
  send(channel: string, message: unknown): void;
  setWindowOpenHandler(handler: () => { action: 'deny' }): void;
  on(event: 'will-frame-navigate', listener: (event: PreventableEvent & { url: string }) => void): unknown;
  on(event: 'will-redirect', listener: (event: PreventableEvent & { url: string }) => void): unknown;
  on(event: 'will-attach-webview', listener: (event: PreventableEvent) => void): unknown;
  on(event: 'did-navigate', listener: () => void): unknown;
  on(event: 'destroyed', listener: () => void): unknown;
  on(event: 'render-process-gone', listener: () => void): unknown;
}

export interface IpcEventAdapter {
  sender: { readonly id: number };
  senderFrame: { readonly url: string; readonly parent: unknown } | null;
}

export interface Bounds {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface WindowAdapter {
  readonly webContents: WebContentsAdapter;
  loadURL(url: string): Promise<void>;
  isMinimized(): boolean;
  restore(): void;
  focus(): void;
  show(): void;
  removeMenu(): void;
  getNormalBounds(): Bounds;
  on(event: 'close', listener: () => void): unknown;
  once(event: 'ready-to-show', listener: () => void): unknown;
}

export interface WindowOptions {
  title: string;
  width: number;
  height: number;
  x?: number;
  y?: number;
  minWidth: number;
  minHeight: number;
  show: boolean;
  backgroundColor: string;
  webPreferences: {
    preload: string;
    contextIsolation: true;
    sandbox: true;
    nodeIntegration: false;
    nodeIntegrationInWorker: false;
    nodeIntegrationInSubFrames: false;
    webSecurity: true;
    webviewTag: false;
    allowRunningInsecureContent: false;
    experimentalFeatures: false;
    navigateOnDragDrop: false;
    spellcheck: false;
  };
}
