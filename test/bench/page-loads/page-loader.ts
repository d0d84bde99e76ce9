import { Agent, type ClientRequestArgs, get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';

/**
 * Loads pages on a client host as a browser does: the page, then every part that it names, over at most six
 * connections at once, which are new for each load. Stands alone, because it is carried to the host as one
 * file. Takes one order a line of JSON on standard input and answers each with one line.
 */

interface Order {
  /** The site itself, or a SOCKS5 proxy in front of it. */
  via: { kind: 'direct' | 'socks'; host: string; port: number };
  service: string;
  path: string;
  limitMs: number;
  /** Whether a second page is loaded over the connections that the first one opened. */
  again: boolean;
}

const connectionsAtOnce = 6;

/** SOCKS5 without authentication, by name (RFC 1928). */
function throughSocks(via: Order['via'], service: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: via.host, port: via.port, noDelay: true });
    const name = Buffer.from(service);
    let heard = Buffer.alloc(0);
    let asked = false;
    const onData = (chunk: Buffer) => {
      heard = Buffer.concat([heard, chunk]);
      if (!asked && heard.length >= 2) {
        asked = true;
        heard = heard.subarray(2);
        socket.write(
          Buffer.concat([Buffer.from([5, 1, 0, 3, name.length]), name, Buffer.from([port >> 8, port & 255])]),
        );
      } else if (asked && heard.length >= 10) {
        socket.off('data', onData);
        if (heard[1] === 0) resolve(socket);
        else reject(new Error(`The SOCKS proxy answered ${heard[1]}.`));
      }
    };
    socket.on('data', onData);
    socket.once('error', reject);
    socket.once('connect', () => socket.write(Buffer.from([5, 1, 0])));
  });
}

class BrowserAgent extends Agent {
  readonly #order: Order;
  connections = 0;
  /** Milliseconds until the first connection was there. */
  firstConnectMs = 0;

  constructor(order: Order) {
    super({ keepAlive: true, maxSockets: connectionsAtOnce, maxFreeSockets: connectionsAtOnce });
    this.#order = order;
  }

  override createConnection(
    _options: ClientRequestArgs,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    this.connections += 1;
    const { via, service } = this.#order;
    const begun = performance.now();
    const done = (socket: Socket) => {
      this.firstConnectMs ||= performance.now() - begun;
      callback?.(null, socket);
    };
    if (via.kind === 'socks')
      throughSocks(via, service, 80).then(done, (error: Error) => callback?.(error, undefined as never));
    else {
      const socket = connect({ host: via.host, port: via.port, noDelay: true });
      socket.once('connect', () => done(socket));
      socket.once('error', (error) => callback?.(error, undefined as never));
    }
    return undefined;
  }
}

function fetchPart(agent: BrowserAgent, order: Order, path: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const request = get({ agent, host: order.service, path, headers: { host: order.service } }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => {
        if (answer.statusCode === 200) resolve(Buffer.concat(chunks));
        else reject(new Error(`${path} was answered with ${answer.statusCode}.`));
      });
    });
    request.setTimeout(order.limitMs, () => request.destroy(new Error(`${path} took too long.`)));
    request.on('error', reject);
  });
}

/** Milliseconds until the page and all its parts are there. */
async function loadPage(agent: BrowserAgent, order: Order) {
  const begun = performance.now();
  const page = await fetchPart(agent, order, order.path);
  const named = page.toString('utf8').matchAll(/<(?:link|script|img)\b[^>]*?\b(?:href|src)="([^"]+)"/g);
  const parts = [...new Set([...named].map(([, part]) => new URL(part!, `http://x${order.path}`).pathname))];
  const left = parts.values();
  let bytes = page.length;
  // Node's agent would open more connections than it may while the first ones are being made.
  const takeNext = async (): Promise<void> => {
    for (const part of left) {
      const content = await fetchPart(agent, order, part);
      bytes += content.length;
    }
  };
  await Promise.all(Array.from({ length: connectionsAtOnce }, takeNext));
  return { ms: performance.now() - begun, requests: 1 + parts.length, bytes };
}

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line) as Order;
  const agent = new BrowserAgent(order);
  try {
    const first = await loadPage(agent, order);
    const { connections, firstConnectMs } = agent;
    const again = order.again ? await loadPage(agent, order) : null;
    console.log(
      JSON.stringify({
        firstMs: first.ms,
        againMs: again?.ms ?? null,
        requests: first.requests,
        bytes: first.bytes,
        connections,
        firstConnectMs,
      }),
    );
  } catch (thrown) {
    console.log(JSON.stringify({ error: thrown instanceof Error ? thrown.message : String(thrown) }));
  } finally {
    agent.destroy();
  }
}
