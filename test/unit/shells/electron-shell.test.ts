import { spawnSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import vm from 'node:vm';
import { build } from 'esbuild';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { electronBinary } from '../../../core/cli/launch/window-binaries.ts';
import {
  type ClientMessage,
  createClient,
  type MessagePort,
  type ServerMessage,
} from '../../../core/contract/channel.ts';
import type { Contract } from '../../../core/contract/contract.ts';
import type { ControlPort } from '../../../core/control/attach.ts';
import { serveShell } from '../../../core/control/local-door.ts';
import { memoryPorts } from '../../../core/runtime/message-ports/memory-ports.ts';
import type { ElectronAdapter, SessionAdapter, WindowOptions } from '../../../electron/adapter.ts';
import { isAppAddress } from '../../../electron/app-address.ts';
import type { FromWindow, ToWindow } from '../../../electron/ipc-envelope.ts';
import { preloadBridge } from '../../../electron/preload-bridge.ts';
import { runShell } from '../../../electron/shell.ts';
import { rememberedBounds } from '../../../electron/window-size.ts';
import { smallControl } from './small-control.ts';

const channel = 'move-console.v1';

class Contents extends EventEmitter {
  readonly id: number;
  destroyed = false;
  sent: ToWindow[] = [];
  receive: ((envelope: ToWindow) => void) | undefined;
  openWindow: (() => { action: 'deny' }) | undefined;
  constructor(id: number) {
    super();
    this.id = id;
  }
  isDestroyed() {
    return this.destroyed;
  }
  send(name: string, message: unknown) {
    expect(name).toBe(channel);
    this.sent.push(message as ToWindow);
    this.receive?.(message as ToWindow);
  }
  setWindowOpenHandler(handler: () => { action: 'deny' }) {
    this.openWindow = handler;
  }
}

class Window extends EventEmitter {
  static made: Window[] = [];
  readonly webContents = new Contents(1);
  readonly options: WindowOptions;
  readonly did: string[] = [];
  minimised = false;
  constructor(options: WindowOptions) {
    super();
    this.options = options;
    Window.made.push(this);
  }
  async loadURL(url: string) {
    this.did.push(`load ${url}`);
  }
  isMinimized() {
    return this.minimised;
  }
  restore() {
    this.did.push('restore');
  }
  focus() {
    this.did.push('focus');
  }
  show() {
    this.did.push('show');
  }
  removeMenu() {
    this.did.push('remove menu');
  }
  getNormalBounds() {
    return { x: 10, y: 20, width: 1200, height: 800 };
  }
}

/** Electron in small: what the shell asked it for. */
class FakeElectron {
  readonly calls: string[] = [];
  readonly appEvents = new EventEmitter();
  readonly ipc = new EventEmitter();
  first = true;
  userData: string;
  protocolHandler: ((request: Request) => Response | Promise<Response>) | undefined;
  permission: Parameters<SessionAdapter['setPermissionRequestHandler']>[0] | undefined;
  permissionCheck: (() => boolean) | undefined;
  deviceCheck: (() => boolean) | undefined;
  beforeRequest: Parameters<SessionAdapter['webRequest']['onBeforeRequest']>[0] | undefined;
  readonly adapter: ElectronAdapter;

  constructor(userData: string) {
    this.userData = userData;
    this.adapter = {
      app: {
        requestSingleInstanceLock: () => this.first,
        enableSandbox: () => this.calls.push('sandbox'),
        whenReady: async () => {
          this.calls.push('ready');
        },
        quit: () => this.calls.push('quit'),
        exit: () => this.calls.push('exit'),
        getPath: () => this.userData,
        on: (event: string, listener: (...a: never[]) => void) =>
          this.appEvents.on(event, listener as (...a: unknown[]) => void),
      },
      protocol: {
        registerSchemesAsPrivileged: ([scheme]) => this.calls.push(`privileged ${scheme?.scheme}`),
        handle: (scheme, handler) => {
          this.calls.push(`handle ${scheme}`);
          this.protocolHandler = handler;
        },
      },
      session: {
        defaultSession: {
          setPermissionRequestHandler: (handler) => {
            this.permission = handler;
          },
          setPermissionCheckHandler: (handler) => {
            this.permissionCheck = handler;
          },
          setDevicePermissionHandler: (handler) => {
            this.deviceCheck = handler;
          },
          webRequest: {
            onBeforeRequest: (listener) => {
              this.beforeRequest = listener;
            },
          },
        },
      },
      ipcMain: {
        on: (name, listener) => this.ipc.on(name, listener as (...a: unknown[]) => void),
      },
      BrowserWindow: Window,
    } as ElectronAdapter;
  }

  /** A message as the page's preload sends it. */
  fromPage(message: unknown, frame: { url: string; parent: unknown } | null = page, sender = { id: 1 }) {
    this.ipc.emit(channel, { sender, senderFrame: frame }, message);
  }
}

const page = { url: 'app://console/', parent: null };
const control = smallControl({ 'emergency.release': () => ({}) });
let directory: string;
let fake: FakeElectron;
let servers: MessagePort<ServerMessage, ClientMessage>[];
let connect: () => Promise<ControlPort | null>;
const log: string[] = [];

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'electron-shell-'));
  fs.writeFileSync(path.join(directory, 'index.html'), '<title>console</title>');
  fake = new FakeElectron(path.join(directory, 'user'));
  Window.made = [];
  servers = [];
  connect = async () => {
    const [client, server] = memoryPorts<ClientMessage, ServerMessage>();
    servers.push(server);
    serveShell(server, { handlers: control.handlers, log: () => undefined });
    return client;
  };
});
afterEach(() => fs.rmSync(directory, { recursive: true }));

const start = () =>
  runShell(fake.adapter, {
    rendererDirectory: directory,
    preloadPath: '/p/preload.cjs',
    connect: () => connect(),
    log: (line) => log.push(line),
  }) as unknown as Promise<Window | null>;

/** The page's side, joined to the shell as Electron would. */
function joinPage(window: Window) {
  return preloadBridge({
    send: (name, message: FromWindow) => {
      expect(name).toBe(channel);
      fake.fromPage(structuredClone(message));
    },
    on: (_name, listener) => {
      window.webContents.receive = (envelope) => listener({}, structuredClone(envelope));
    },
  });
}

describe('the window', () => {
  test('is hardened and loads the application alone', async () => {
    const window = await start();
    expect(window?.options.webPreferences).toEqual({
      preload: '/p/preload.cjs',
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
    });
    expect(window?.did).toEqual(['remove menu', 'load app://console/']);
    expect(fake.calls).toEqual(['sandbox', 'privileged app', 'ready', 'handle app']);
    window?.emit('ready-to-show');
    expect(window?.did.at(-1)).toBe('show');
    fake.appEvents.emit('window-all-closed');
    expect(fake.calls.at(-1)).toBe('quit');
  });

  test('a second instance quits and brings the first to the front', async () => {
    const window = await start();
    if (window) window.minimised = true;
    fake.appEvents.emit('second-instance');
    expect(window?.did.slice(-2)).toEqual(['restore', 'focus']);

    const second = new FakeElectron(directory);
    second.first = false;
    fake = second;
    expect(await start()).toBeNull();
    expect(second.calls).toEqual(['quit']);
    expect(Window.made.length).toBe(1);
  });

  test('remembers its size, and a damaged memory does no harm', async () => {
    const window = await start();
    window?.emit('close');
    expect(rememberedBounds(fake.userData)).toEqual({ x: 10, y: 20, width: 1200, height: 800 });
    for (const damaged of ['{', 'null', '{"x":1}', '{"x":0,"y":0,"width":1,"height":1}', '[]']) {
      fs.writeFileSync(path.join(fake.userData, 'window.json'), damaged);
      expect(rememberedBounds(fake.userData)).toEqual({ width: 1440, height: 900 });
    }
  });
});

describe('hardening', () => {
  test('no permission, no device, no foreign request', async () => {
    await start();
    let granted: boolean | undefined;
    fake.permission?.({}, 'media', (answer) => {
      granted = answer;
    });
    expect([granted, fake.permissionCheck?.(), fake.deviceCheck?.()]).toEqual([false, false, false]);
    const cancelled = (url: string) => {
      let answer: boolean | undefined;
      fake.beforeRequest?.({ url }, (response) => {
        answer = response.cancel;
      });
      return answer;
    };
    for (const own of [
      'app://console/',
      'app://console/assets/a.js',
      'blob:app://console/1-2',
      'data:image/png;base64,AA==',
    ])
      expect([own, cancelled(own)]).toEqual([own, false]);
    for (const foreign of [
      'https://example.com/',
      'http://127.0.0.1:8080/',
      'file:///etc/passwd',
      'app://other/',
      'app://console.evil/',
      'blob:https://example.com/1',
      'data:text/html,hi',
      'ws://127.0.0.1/',
    ])
      expect([foreign, cancelled(foreign)]).toEqual([foreign, true]);
  });

  test('no page leads away, opens a window or embeds a guest', async () => {
    await start();
    const contents = new Contents(9);
    fake.appEvents.emit('web-contents-created', {}, contents);
    expect(contents.openWindow?.()).toEqual({ action: 'deny' });
    const prevented = (event: string, url: string) => {
      let stopped = false;
      contents.emit(event, { url, preventDefault: () => (stopped = true) });
      return stopped;
    };
    for (const event of ['will-frame-navigate', 'will-redirect']) {
      expect(prevented(event, 'https://example.com/')).toBe(true);
      expect(prevented(event, 'file:///etc/passwd')).toBe(true);
      expect(prevented(event, 'app://console/')).toBe(false);
    }
    expect(prevented('will-attach-webview', 'app://console/')).toBe(true);
  });

  test.each([
    ['app://console/', true],
    ['app://console/index.html#map', true],
    ['app://console:1/', false],
    ['app://user@console/', false],
    ['app://consolex/', false],
    ['https://console/', false],
    ['APP://CONSOLE.evil/', false],
    ['', false],
  ])('address %s belongs to the application: %s', (address, own) => {
    expect(isAppAddress(address)).toBe(own);
  });

  test('the scheme serves the built window with its content policy and nothing else', async () => {
    await start();
    const ask = async (url: string, method = 'GET') => {
      const response = await fake.protocolHandler?.(new Request(url, { method }));
      return response as Response;
    };
    const main = await ask('app://console/');
    expect(main.status).toBe(200);
    expect(await main.text()).toContain('console');
    expect(main.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(main.headers.get('x-content-type-options')).toBe('nosniff');
    expect((await ask('app://console/', 'HEAD')).status).toBe(200);
    expect((await ask('app://other/')).status).toBe(403);
    expect((await ask('app://console/', 'POST')).status).toBe(405);
    expect((await ask('app://console/..%2f..%2fetc%2fpasswd.html')).status).toBe(404);
    expect((await ask('app://console/missing.js')).status).toBe(404);
  });
});

describe('the relay', () => {
  test('carries the contract between page and control plane, and opens again after an end', async () => {
    const window = await start();
    if (!window) throw new Error('no window');
    const bridge = joinPage(window);
    const client = createClient<Contract>(bridge);
    expect(await client.call('emergency.release', {})).toEqual({});
    const kinds = await new Promise((resolve) => client.listen('state', {}, (m) => resolve(m.kind)));
    expect(kinds).toBe('snapshot');
    const pending = client.call('doctor', {});
    await expect(pending).rejects.toMatchObject({ code: 'NOT_HERE' });

    servers[0]?.close();
    expect(await client.closed).toBeNull();
    const again = createClient<Contract>(bridge);
    expect(await again.call('emergency.release', {})).toEqual({});
    expect(servers.length).toBe(2);
  });

  test('says so when no control plane runs, and works when one does', async () => {
    const window = await start();
    if (!window) throw new Error('no window');
    const real = connect;
    connect = async () => null;
    const bridge = joinPage(window);
    await expect(createClient<Contract>(bridge).call('emergency.release', {})).rejects.toMatchObject({
      code: 'CONTROL_ABSENT',
    });
    connect = async () => {
      throw new Error('socket on fire');
    };
    await expect(createClient<Contract>(bridge).call('emergency.release', {})).rejects.toMatchObject({
      code: 'INTERNAL',
    });
    connect = real;
    expect(await createClient<Contract>(bridge).call('emergency.release', {})).toEqual({});
  });

  test.each([
    ['another page', { url: 'https://evil.example/', parent: null }, { id: 1 }],
    ['a frame inside the page', { url: 'app://console/', parent: {} }, { id: 1 }],
    ['a frame that is gone', null, { id: 1 }],
    ['another window', page, { id: 2 }],
  ])('does not hear %s', async (_name, frame, sender) => {
    await start();
    fake.fromPage({ kind: 'open', link: 1 }, frame, sender);
    await new Promise((resolve) => setImmediate(resolve));
    expect(servers.length).toBe(0);
    expect(log.at(-1)).toMatch(/^refused a message from/);
  });

  test.each([
    [null],
    ['open'],
    [{ kind: 'open' }],
    [{ kind: 'open', link: 1.5 }],
    [{ kind: 'message', link: 1 }],
  ])('refuses what is no message: %j', async (value) => {
    await start();
    fake.fromPage(value);
    expect(log.at(-1)).toBe('refused a message that is none');
  });

  test('a reload, a crash and an end close the link to the control plane', async () => {
    const window = await start();
    if (!window) throw new Error('no window');
    for (const event of ['did-navigate', 'render-process-gone', 'destroyed']) {
      fake.fromPage({ kind: 'open', link: 1 });
      await new Promise((resolve) => setImmediate(resolve));
      const closed = new Promise((resolve) => servers.at(-1)?.onClose(resolve));
      window.webContents.emit(event);
      expect(await closed).toBeNull();
    }
  });

  test('a page that floods an unanswered link is cut off', async () => {
    const window = await start();
    connect = () => new Promise(() => undefined);
    fake.fromPage({ kind: 'open', link: 3 });
    for (let i = 0; i < 300; i++) fake.fromPage({ kind: 'message', link: 3, message: { id: i } });
    expect(window?.webContents.sent).toMatchObject([
      { kind: 'closed', link: 3, error: { code: 'PEER_TOO_SLOW' } },
    ]);
  });
});

test('the built preload is CommonJS, needs Electron alone and exposes only the bridge', async () => {
  const built = await build({
    entryPoints: { main: path.resolve('electron/main.ts'), preload: path.resolve('electron/preload.ts') },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node24',
    external: ['electron'],
    outdir: directory,
    write: false,
  });
  const codeOf = (name: string) => built.outputFiles.find((file) => file.path.endsWith(name))?.text ?? '';
  const exposed: Record<string, object> = {};
  const required: string[] = [];
  vm.runInNewContext(codeOf('preload.js'), {
    module: { exports: {} },
    exports: {},
    require: (name: string) => {
      required.push(name);
      return {
        contextBridge: { exposeInMainWorld: (key: string, value: object) => (exposed[key] = value) },
        ipcRenderer: { send: () => undefined, on: () => undefined },
      };
    },
  });
  expect(required).toEqual(['electron']);
  expect(Object.keys(exposed)).toEqual(['moveConsole']);
  expect(Object.keys(exposed.moveConsole ?? {}).sort()).toEqual(['close', 'onClose', 'onMessage', 'send']);
  expect(codeOf('main.js')).toContain('requestSingleInstanceLock');
});

const binary = electronBinary(process.env);
test.skipIf(binary === null)('Electron binary: starts and names its version (needs Electron binary)', () => {
  const result = spawnSync(binary ?? '', ['--version'], {
    env: { ...process.env, ELECTRON_RUN_AS_NODE: '' },
    timeout: 15_000,
    encoding: 'utf8',
  });
  expect(result.stdout).toMatch(/^v\d+\./);
});
