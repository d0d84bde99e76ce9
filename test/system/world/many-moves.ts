import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { expect } from 'vitest';
import { type ClientOptions, WebSocket } from 'ws';
import type { RemoteProgram } from '../../../core/fleet/host-connection.ts';
import { catalogue } from '../../../core/lab/sample-storage.ts';
import { homePage, service, sha256, type World } from '../world.ts';
import { until } from './conditions.ts';
import type { Connected } from './connect.ts';
import type { LabHosts } from './lab-hosts.ts';
import { Viewer } from './viewer.ts';

const services = path.resolve(import.meta.dirname, '../../../assets/services');
const desktop = 'desktop.example';
const numbers = 'numbers.example';
const ports = { desktop: 5908, numbers: 8084 };
/** People with a certificate each: an access point gives a certificate 64 sessions. */
const crowds = [8_091, 8_092, 8_093, 8_094];
const clientsOfEach = 50;
const keptClients = { clients: clientsOfEach, periodMs: 1_000, limitMs: 20_000 };
const typeEveryMs = 250;
const countEveryMs = 50;
/** Where the shell's window is, in which the desktop writes down what is typed. */
const shellWindow = [200, 450] as const;

interface Seen {
  right: number;
  wrong: number;
  failed: number;
  connections: number;
  longestMs: number;
  faults: string[];
}

/** What happened to people's open connections while their services moved. */
export interface ManyMoves {
  moves: number;
  outagesMs: number[];
  clients: Seen;
  longestViewerSilenceMs: number;
  typed: number;
  counted: number;
  longestCountMs: number;
}

/** Adds the services beside the lab's first one, and lets a person in at client-1 to all of them. */
export async function peopleOfManyServices(world: World): Promise<Connected> {
  for (const file of ['numbers.yaml', 'desktop.yaml'])
    await world.client.call(
      'service.add',
      { text: readFileSync(path.join(services, file), 'utf8') },
      { deadlineMs: 300_000 },
    );
  for (const port of crowds)
    await world.connect('client-1', { name: `crowd-${port}`, forwards: [`${port}=${service}:80`] });
  return world.connect('client-1', {
    credential: await world.issue({ services: 'any' }),
    forwards: [`${ports.desktop}=${desktop}:5900`, `${ports.numbers}=${numbers}:80`],
  });
}

/**
 * Moves three services `rounds` times each, one after the other, under 200 clients with kept connections, a viewer
 * that types, a connection that counts and a download, and expects that none of them loses anything.
 */
export async function manyMoves(world: World, person: Connected, rounds: number): Promise<ManyMoves> {
  const { hosts } = world;
  const program = '/root/kept-clients.ts';
  await hosts.write('client-1', program, readFileSync(path.join(import.meta.dirname, 'kept-clients.ts')));
  const crowd = await Promise.all(crowds.map((port) => Crowd.start(hosts, program, port)));
  const look = async (word: 'look' | 'stop') =>
    together(await Promise.all(crowd.map((one) => one.look(word))));
  const viewer = await until(
    'the viewer has a picture',
    () => Viewer.start(hosts, 'client-1', ports.desktop),
    20_000,
  );
  const counter = await Counter.start(world);
  const stored = catalogue();
  const limitSeconds = 60 + rounds * 40;
  await until(
    'every client has a connection',
    async () => (await look('look')).connections >= crowds.length * clientsOfEach,
    30_000,
  );
  const download = await person.download('/catalogue.bin', {
    bytesPerSecond: Math.floor(stored.length / (rounds * 12)),
    limitSeconds,
  });
  await until('the download has begun', async () => (await download.arrived()) > 10_000, 20_000);
  viewer.point(...shellWindow);
  let typed = 0;
  const typing = setInterval(() => viewer.type(`echo ${++typed} >> /tmp/typed\n`), typeEveryMs);
  const begun = Date.now();
  const outagesMs: number[] = [];
  let moves = 0;
  try {
    for (let round = 0; round < rounds; round += 1)
      for (const which of [service, desktop, numbers]) {
        const move = await world.move({ service: which });
        expect(move).toMatchObject({ state: 'done', error: null });
        moves += 1;
        if (move.outageMs !== null) outagesMs.push(Math.round(move.outageMs));
      }
    // Still under way: it went through all the moves of its service.
    expect(await download.arrived()).toBeLessThan(stored.length);
    clearInterval(typing);
    const site = world.state.services[desktop]?.site ?? '';
    const written = `/var/lib/move/pods/desktop-example/root/tmp/typed`;
    const all = Array.from({ length: typed }, (_, n) => `${n + 1}\n`).join('');
    await until(
      'everything typed has been written',
      async () => (await hosts.run(site, `cat ${written}`)).stdout === all,
      20_000,
    );
    const silence = await viewer.silence(begun);
    const clients = await look('stop');
    const count = await counter.stop();
    expect(clients).toMatchObject({ wrong: 0, failed: 0, faults: [] });
    expect(clients.right).toBeGreaterThan(crowds.length * clientsOfEach * 2);
    expect(count.faults).toEqual([]);
    expect(await download.done).toMatchObject({
      code: 0,
      status: 200,
      bytes: stored.length,
      sha256: sha256(stored),
    });
    return {
      moves,
      outagesMs,
      clients,
      longestViewerSilenceMs: silence.to - silence.from,
      typed,
      counted: count.counted,
      longestCountMs: Math.round(count.longestMs),
    };
  } finally {
    clearInterval(typing);
    for (const one of crowd) one.end();
    viewer.stop();
    counter.end();
  }
}

/** Clients behind one forwarder: see `kept-clients.ts`. */
class Crowd {
  readonly #program: RemoteProgram;
  readonly #seen: AsyncIterator<string>;

  private constructor(program: RemoteProgram) {
    this.#program = program;
    this.#seen = createInterface({ input: program.stdout })[Symbol.asyncIterator]();
  }

  static async start(hosts: LabHosts, file: string, port: number): Promise<Crowd> {
    const program = await hosts.start('client-1', `exec /opt/move/bin/node ${file}`);
    const { path, sha256: right } = homePage;
    program.stdin.write(`${JSON.stringify({ ...keptClients, port, host: service, path, sha256: right })}\n`);
    return new Crowd(program);
  }

  async look(word: 'look' | 'stop'): Promise<Seen> {
    this.#program.stdin.write(`${word}\n`);
    const { value, done } = await this.#seen.next();
    if (done) throw new Error('the clients have ended');
    return JSON.parse(value) as Seen;
  }

  end(): void {
    this.#program.kill();
  }
}

function together(all: readonly Seen[]): Seen {
  const sum = (name: 'right' | 'wrong' | 'failed' | 'connections') =>
    all.reduce((total, one) => total + one[name], 0);
  return {
    right: sum('right'),
    wrong: sum('wrong'),
    failed: sum('failed'),
    connections: sum('connections'),
    longestMs: Math.round(Math.max(...all.map(({ longestMs }) => longestMs))),
    faults: all.flatMap(({ faults }) => faults),
  };
}

/** One WebSocket on which every message is answered with its number. */
class Counter {
  readonly #socket: WebSocket;
  readonly #sentAt: number[] = [];
  readonly #faults: string[] = [];
  readonly #timer: NodeJS.Timeout;
  #answered = 0;
  #longestMs = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on('message', (data) => {
      this.#answered += 1;
      const expected = `${this.#answered} message ${this.#answered}`;
      if (String(data) !== expected) this.#faults.push(`${String(data)} instead of ${expected}`);
      this.#longestMs = Math.max(
        this.#longestMs,
        performance.now() - (this.#sentAt[this.#answered - 1] ?? Number.NEGATIVE_INFINITY),
      );
    });
    socket.on('error', (error) => this.#faults.push(error.message));
    socket.on('close', (code) => this.#faults.push(`closed with ${code}`));
    this.#timer = setInterval(() => {
      this.#sentAt.push(performance.now());
      socket.send(`message ${this.#sentAt.length}`);
    }, countEveryMs);
  }

  static async start(world: World): Promise<Counter> {
    const channel = await world.hosts.tcp('client-1', '127.0.0.1', ports.numbers);
    const socket = new WebSocket(`ws://${numbers}/`, {
      perMessageDeflate: false,
      createConnection: (() => channel) as unknown as NonNullable<ClientOptions['createConnection']>,
    });
    await until('the WebSocket is open', () => socket.readyState === WebSocket.OPEN, 10_000);
    return new Counter(socket);
  }

  async stop(): Promise<{ counted: number; longestMs: number; faults: string[] }> {
    clearInterval(this.#timer);
    await until('every message is answered', () => this.#answered >= this.#sentAt.length, 15_000);
    return { counted: this.#answered, longestMs: this.#longestMs, faults: [...this.#faults] };
  }

  end(): void {
    clearInterval(this.#timer);
    this.#socket.terminate();
  }
}
