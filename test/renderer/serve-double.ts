import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WebSocketServer } from 'ws';
import type { ClientMessage, MessagePort, ServerMessage } from '../../core/contract/channel.ts';
import { ContractDouble } from './contract-double.ts';
import { type SceneName, sceneNames } from './scenes.ts';

const built = fileURLToPath(new URL('../../dist/renderer/', import.meta.url));
const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
  '.woff': 'font/woff',
};
/** As strict as the hosts' own policy, so that a violation shows up here. */
const policy =
  "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export interface ServedDouble {
  url: string;
  double: ContractDouble;
  /** Ends every connection, and refuses new ones until `admit`. */
  cut(): void;
  admit(): void;
  close(): Promise<void>;
}

/** Serves the built window and a double of the console on loopback. */
export async function serveDouble(scene: SceneName, port = 0): Promise<ServedDouble> {
  const double = new ContractDouble(scene);
  let admitting = true;
  const server = createServer(async (request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://localhost').pathname);
    const file = join(built, path === '/' ? 'index.html' : path);
    try {
      const body = await readFile(file);
      response.writeHead(200, {
        'content-type': types[extname(file)] ?? 'application/octet-stream',
        'content-security-policy': policy,
      });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  const sockets = new WebSocketServer({ server, path: '/channel' });
  sockets.on('connection', (socket) => {
    if (!admitting) {
      socket.close();
      return;
    }
    const channel: MessagePort<ServerMessage, ClientMessage> = {
      send: (message) => socket.send(JSON.stringify(message)),
      onMessage: (listener) => {
        socket.on('message', (data) => listener(JSON.parse(String(data)) as ClientMessage));
      },
      onClose: (listener) => {
        socket.once('close', () => listener(null));
      },
      close: () => socket.close(),
    };
    double.serve(channel);
  });
  await new Promise<void>((resolve) => {
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    double,
    cut() {
      admitting = false;
      for (const socket of sockets.clients) socket.terminate();
    },
    admit() {
      admitting = true;
    },
    async close() {
      for (const socket of sockets.clients) socket.terminate();
      sockets.close();
      server.closeAllConnections();
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

if (import.meta.main) {
  const scene = sceneNames.find((name) => name === process.argv[2]) ?? 'rest';
  const served = await serveDouble(scene, Number(process.argv[3] ?? 0));
  process.stdout.write(`${scene}: ${served.url}\n`);
}
