import {
  type ClientMessage,
  createClient,
  type MessagePort,
  type ServerMessage,
} from '../core/contract/channel.ts';
import type { Contract, ContractClient } from '../core/contract/contract.ts';
import type { ErrorBody } from '../core/contract/error-body.ts';

/** What Electron's preload exposes; it carries the same messages as the WebSocket does. */
export interface PreloadChannel {
  send(message: ClientMessage): void;
  onMessage(listener: (message: ServerMessage) => void): void;
  onClose(listener: (error: ErrorBody | null) => void): void;
  close(): void;
}

declare global {
  interface Window {
    moveConsole?: PreloadChannel;
  }
}

type ConsolePort = MessagePort<ClientMessage, ServerMessage>;

const connectLimitMs = 5_000;
const backoffMs = [250, 500, 1_000, 2_000, 4_000, 8_000];

/** How the window stands to the control plane. */
export type Connection =
  | { kind: 'connecting' }
  | { kind: 'connected' }
  | { kind: 'waiting'; attempt: number; retryAt: number; lostAt: number; reason: string | null };

/** Waiting time before attempt number `attempt` (0 first), milliseconds: doubles up to 8 s. */
export function backoff(attempt: number): number {
  return backoffMs[Math.min(attempt, backoffMs.length - 1)]!;
}

/** A port over a WebSocket: JSON text frames, one message a frame; what is sent early waits for the opening. */
export function webSocketPort(address: string): ConsolePort {
  const socket = new WebSocket(address, 'move-console.v1');
  const early: string[] = [];
  let messageListener: (message: ServerMessage) => void = () => undefined;
  let closeListener: (error: ErrorBody | null) => void = () => undefined;
  let ended = false;
  const end = (error: ErrorBody | null) => {
    if (ended) return;
    ended = true;
    clearTimeout(limit);
    closeListener(error);
  };
  const limit = setTimeout(() => {
    socket.close();
    end({ code: 'DEADLINE_EXCEEDED', message: 'The console did not answer within 5 s.' });
  }, connectLimitMs);
  socket.addEventListener('open', () => {
    clearTimeout(limit);
    for (const frame of early.splice(0)) socket.send(frame);
  });
  socket.addEventListener('message', (event) => {
    if (!ended) messageListener(JSON.parse(String(event.data)) as ServerMessage);
  });
  socket.addEventListener('close', (event) =>
    end(event.reason ? { code: 'DISCONNECTED', message: event.reason } : null),
  );
  return {
    send(message) {
      const frame = JSON.stringify(message);
      if (socket.readyState === WebSocket.OPEN) socket.send(frame);
      else if (socket.readyState === WebSocket.CONNECTING) early.push(frame);
    },
    onMessage: (listener) => {
      messageListener = listener;
    },
    onClose: (listener) => {
      closeListener = listener;
    },
    close: () => {
      socket.close();
      end(null);
    },
  };
}

/**
 * A port over Electron's preload. The preload's object outlives a lost control plane, so one listener is
 * set once and every new port replaces the one before it.
 */
function preloadPorts(channel: PreloadChannel): () => ConsolePort {
  let current: { message(m: ServerMessage): void; end(e: ErrorBody | null): void } | null = null;
  channel.onMessage((message) => current?.message(message));
  channel.onClose((error) => current?.end(error));
  return () => {
    let messageListener: (message: ServerMessage) => void = () => undefined;
    let closeListener: (error: ErrorBody | null) => void = () => undefined;
    const me = {
      message: (m: ServerMessage) => messageListener(m),
      end: (e: ErrorBody | null) => {
        if (current === me) current = null;
        closeListener(e);
      },
    };
    current = me;
    return {
      send: (message) => channel.send(message),
      onMessage: (listener) => {
        messageListener = listener;
      },
      onClose: (listener) => {
        closeListener = listener;
      },
      close: () => {
        if (current === me) channel.close();
        me.end(null);
      },
    };
  };
}

/** Makes ports to wherever this window came from: the preload in Electron, else the host that served it. */
export function portsOfThisWindow(): () => ConsolePort {
  if (window.moveConsole) return preloadPorts(window.moveConsole);
  const address = new URL('/channel', window.location.href);
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  return () => webSocketPort(address.href);
}

/** What a session does with a fresh client; it calls `settled` once the first answer has come. */
export interface BridgeUser {
  onClient(client: ContractClient | null): void;
  onConnection(connection: Connection): void;
  /** Starts listening; `settled` after the first snapshot, `fail` when a stream ended. */
  start(client: ContractClient, settled: () => void, fail: (error: ErrorBody | null) => void): void;
}

/**
 * Keeps one client open for as long as the window lives: connects, and after a loss tries again by itself
 * with growing pauses (0.25 s to 8 s). Returns a function that tries at once.
 */
export function keepConnected(openPort: () => ConsolePort, user: BridgeUser): () => void {
  let attempt = 0;
  let lostAt = Date.now();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let waiting = false;

  const connect = () => {
    waiting = false;
    clearTimeout(timer);
    if (attempt === 0) user.onConnection({ kind: 'connecting' });
    const client = createClient<Contract>(openPort());
    let finished = false;
    const finish = (error: ErrorBody | null) => {
      if (finished) return;
      finished = true;
      clearTimeout(watchdog);
      client.close();
      user.onClient(null);
      const pause = backoff(attempt);
      if (attempt === 0) lostAt = Date.now();
      attempt += 1;
      waiting = true;
      user.onConnection({
        kind: 'waiting',
        attempt,
        retryAt: Date.now() + pause,
        lostAt,
        reason: error?.message ?? null,
      });
      timer = setTimeout(connect, pause);
    };
    const watchdog = setTimeout(
      () => finish({ code: 'DEADLINE_EXCEEDED', message: 'The console sent no state within 10 s.' }),
      10_000,
    );
    void client.closed.then(finish);
    user.start(
      client,
      () => {
        if (finished) return;
        clearTimeout(watchdog);
        attempt = 0;
        user.onClient(client);
        user.onConnection({ kind: 'connected' });
      },
      finish,
    );
  };
  connect();
  return () => {
    if (waiting) connect();
  };
}
