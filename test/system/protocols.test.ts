import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ClientOptions, type RawData, WebSocket } from 'ws';
import type { Service } from '../../core/contract/domain.ts';
import { catalogue } from '../../core/lab/sample-storage.ts';
import { RedisClient, storedValue } from './world/redis-client.ts';
import { type Connected, sha256, until, World, worldImpossible } from './world.ts';

const missing = ['xtigervncviewer', 'xdotool', 'Xvfb'].find(
  (name) => spawnSync('which', [name]).status !== 0,
);
const why = worldImpossible() ?? (missing ? `${missing} is not installed` : null);
const library = 'library.example';
const numbers = 'numbers.example';
const desktop = 'desktop.example';
const store = 'store.example';
const notes = 'notes.example';
const numbersPort = 8082;
const storePort = 6380;
const desktopPort = 5907;
const display = ':7';

/** Programs that nobody here wrote, each connected before a move and going on after it. */
describe.skipIf(why !== null)(`what people's programs speak survives a move${why ? ` (${why})` : ''}`, () => {
  let world: World;
  let person: Connected;

  beforeAll(async () => {
    world = await World.up();
    for (const name of ['library', 'numbers', 'desktop', 'store', 'notes']) {
      // Images are built by the first service that needs them, on a machine that has none.
      const said = await world.cli(['service', 'add', `assets/services/${name}.yaml`], 300_000);
      expect([name, said.code, said.stderr]).toEqual([name, 0, expect.any(String)]);
    }
    person = await world.connect('client-1', {
      credential: await world.issue({ services: 'any' }),
      forwards: [
        `${numbersPort}=${numbers}:80`,
        `${desktopPort}=${desktop}:5900`,
        `${storePort}=${store}:6379`,
      ],
    });
  }, 400_000);

  afterAll(() => world?.down());

  /** Moves a service and expects that nobody lost anything by it. */
  async function carry(service: string): Promise<string> {
    const move = await world.move({ service });
    expect(move).toMatchObject({ service, state: 'done', error: null });
    expect(await accountOf(move.id)).toBe(0);
    return move.to;
  }

  function accountOf(move: string): Promise<number> {
    // Told as a number that may be 0, which is no reason to wait on.
    return world
      .until(
        'the lost sessions are counted',
        ({ moves }) => {
          const lost = moves[move]?.sessionsLost;
          return lost == null ? null : { lost };
        },
        15_000,
      )
      .then(({ lost }) => lost);
  }

  it('lists all of them, also after the control plane was killed', { timeout: 120_000 }, async () => {
    const wanted = {
      'shop.example': ['a1', 'running', 'approve'],
      [library]: ['b1', 'running', 'approve'],
      [numbers]: ['c1', 'running', 'approve'],
      [desktop]: ['a2', 'running', 'approve'],
      [store]: ['b2', 'running', 'approve'],
      [notes]: ['c2', 'running', 'approve'],
    };
    const listed = async () => {
      const said = await world.cli(['service', 'list']);
      const { services } = JSON.parse(said.stdout) as { services: Service[] };
      return Object.fromEntries(
        services.map(({ id, homeSite, state, policy }) => [id, [homeSite, state, policy]]),
      );
    };
    expect(await listed()).toEqual(wanted);
    const before = await world.copies(numbers);
    await world.control.kill();
    await world.respawnControl().ready();
    await expect.poll(listed, { timeout: 30_000, interval: 500 }).toEqual(wanted);
    // It was found where it ran, and not started anew.
    expect(await world.copies(numbers)).toEqual(before);
  });

  it('HTTP/2 over TLS: one stream of 8 MB, begun before the move', { timeout: 60_000 }, async () => {
    const bytes = catalogue();
    const file = '/tmp/by-http2';
    const ended = world.hosts.run(
      'client-1',
      `curl -sk --http2 -m 45 --limit-rate 1M -x ${person.ready.httpProxy} -o ${file} -w '%{exitcode} %{http_version} %{http_code} %{num_connects}' https://${library}/catalogue.bin`,
      { limitMs: 55_000 },
    );
    ended.catch(() => undefined);
    const arrived = async () =>
      Number((await world.hosts.run('client-1', `stat -c %s ${file} 2>/dev/null || echo 0`)).stdout);
    await until('the download has begun', async () => (await arrived()) > 500_000, 15_000);
    await carry(library);
    expect(await arrived()).toBeLessThan(bytes.length);
    expect((await ended).stdout).toBe('0 2 200 1');
    const { stdout } = await world.hosts.run('client-1', `sha256sum < ${file}; rm -f ${file}`);
    expect(stdout.split(' ')[0]).toBe(sha256(bytes));
  });

  it('HTTP/1.1: one connection that is kept alive, 40 requests on it', { timeout: 60_000 }, async () => {
    const requests = 40;
    const said = await Promise.all([
      world.hosts.run(
        'client-1',
        `curl -s -m 40 --proxytunnel -x ${person.ready.httpProxy} --rate 5/s -w '%{num_connects} ' 'http://${library}/connection?[1-${requests}]'`,
        { limitMs: 50_000 },
      ),
      carry(library),
    ]);
    const [{ code, stdout }] = said;
    expect(code).toBe(0);
    // The server tells the number of the connection and how many requests came on it.
    const answers = stdout.split('\n').map((line) => /(\d+) (\d+)$/.exec(line)?.slice(1).map(Number) ?? []);
    const connection = answers[0]?.[0];
    expect(answers.slice(0, requests)).toEqual(
      Array.from({ length: requests }, (_, index) => [connection, index + 1]),
    );
  });

  it('WebSocket: numbered messages, none lost and none twice', { timeout: 60_000 }, async () => {
    const channel = await world.hosts.tcp('client-1', '127.0.0.1', numbersPort);
    const socket = new WebSocket(`ws://${numbers}/`, {
      perMessageDeflate: false,
      createConnection: (() => channel) as unknown as NonNullable<ClientOptions['createConnection']>,
    });
    const answers: string[] = [];
    const faults: unknown[] = [];
    socket.on('message', (data: RawData) => answers.push(String(data)));
    socket.on('error', (error) => faults.push(error));
    socket.on('close', (code) => faults.push(`closed with ${code}`));
    await until('the WebSocket is open', () => socket.readyState === WebSocket.OPEN, 10_000);
    let sent = 0;
    const timer = setInterval(() => socket.send(`message ${++sent}`), 10);
    try {
      await until('messages are answered', () => answers.length > 20, 10_000);
      const before = answers.length;
      await carry(numbers);
      await until('messages are answered after the move', () => answers.length > before + 100, 15_000);
    } finally {
      clearInterval(timer);
    }
    await until('every message is answered', () => answers.length >= sent, 10_000);
    expect(answers).toEqual(Array.from({ length: sent }, (_, n) => `${n + 1} message ${n + 1}`));
    expect(faults).toEqual([]);
    socket.removeAllListeners('close');
    socket.terminate();
  });

  it('Redis: a connection that counts, and 50 MB that are the same', { timeout: 60_000 }, async () => {
    const client = new RedisClient(await world.hosts.tcp('client-1', '127.0.0.1', storePort));
    const answers: string[] = [];
    let asked = 0;
    const timer = setInterval(() => {
      asked += 1;
      client.ask('INCR', 'counter').then(
        (answer) => answers.push(answer),
        () => undefined,
      );
    }, 10);
    try {
      await until('it counts', () => answers.length > 20, 10_000);
      const before = answers.length;
      await carry(store);
      await until('it counts after the move', () => answers.length > before + 100, 15_000);
    } finally {
      clearInterval(timer);
    }
    await until('every question is answered', () => answers.length >= asked, 10_000);
    expect(answers).toEqual(Array.from({ length: asked }, (_, n) => String(n + 1)));
    expect(await client.ask('DBSIZE')).toBe('50001');
    for (let n = 1; n <= 50_000; n += 499) expect(await client.ask('GET', `value:${n}`)).toBe(storedValue(n));
    expect(client.faults).toEqual([]);
    client.close();
  });

  it('Python: one connection that is kept alive, and a note that stays', { timeout: 60_000 }, async () => {
    const curl = (rest: string) =>
      world.hosts.run('client-1', `curl -s -m 40 -x ${person.ready.httpProxy} ${rest}`, { limitMs: 50_000 });
    const note = 'the lamp is on the desk';
    expect((await curl(`-d '${note}' http://${notes}/notes`)).stdout).toBe('1\n');
    const requests = 40;
    const [{ code, stdout }] = await Promise.all([
      curl(`--proxytunnel --rate 5/s 'http://${notes}/connection?[1-${requests}]'`),
      carry(notes),
    ]);
    expect(code).toBe(0);
    const answers = stdout.trim().split('\n');
    const connection = answers[0]?.split(' ')[0];
    expect(answers).toEqual(Array.from({ length: requests }, (_, index) => `${connection} ${index + 1}`));
    expect((await curl(`http://${notes}/notes/1`)).stdout).toBe(note);
  });

  it('VNC: a viewer that sees and types before the move and after it', { timeout: 90_000 }, async () => {
    const folder = '/tmp/viewer';
    const frame = `${folder}/Xvfb_screen0`;
    const screen = await world.hosts.start(
      'client-1',
      `mkdir -p ${folder}; exec Xvfb ${display} -screen 0 1024x768x24 -fbdir ${folder} -nolisten tcp`,
    );
    const inside = (command: string) => world.hosts.run('client-1', `DISPLAY=${display} ${command}`);
    await until(
      'the display is there',
      async () => (await inside('xdotool getmouselocation')).code === 0,
      15_000,
    );
    const viewer = await world.hosts.start(
      'client-1',
      `HOME=/root DISPLAY=${display} exec xtigervncviewer -AlertOnFatalError=0 -ReconnectOnError=0 -Log '*:stderr:30' 127.0.0.1::${desktopPort}`,
    );
    let log = '';
    viewer.stderr.on('data', (chunk: Buffer) => {
      log += chunk.toString('utf8');
    });
    const picture = async () => (await inside(`sha256sum ${frame}`)).stdout;
    /** Waits for so many pictures that differ: the desktop counts seconds on its own. */
    const changes = async (count: number) => {
      const seen = new Set<string>();
      await until(
        'the picture changes',
        async () => {
          seen.add(await picture());
          return seen.size > count;
        },
        20_000,
      );
    };
    const typed = async (site: string, word: string) => {
      await inside(`xdotool mousemove 200 450 click 1 type --delay 30 'echo ${word} >> /tmp/typed
'`);
      const file = '/var/lib/move/pods/desktop-example/root/tmp/typed';
      await until(
        `what was typed is at ${site}`,
        async () => (await world.hosts.run(site, `cat ${file}`)).stdout.includes(word),
        15_000,
      );
    };
    await until('the viewer has connected', () => log.includes('onnected to'), 15_000);
    // Nobody manages the windows of the viewer's own display.
    await until(
      'the viewer shows its window',
      async () => (await inside('xdotool search --onlyvisible --name . windowfocus')).code === 0,
      15_000,
    );
    await changes(3);
    await typed(world.state.services[desktop]?.site ?? '', 'before');
    const chat = "/var/lib/move/pods/desktop-example/root/tmp/neighbour/127.0.0.1/'#shop'/out";
    const said = async (site: string) =>
      (await world.hosts.run(site, `grep -c 'cup of tea' ${chat}`)).stdout.trim();
    await until(
      'the neighbour in the chat speaks',
      async () => (await said(world.state.services[desktop]?.site ?? '')) !== '0',
      15_000,
    );
    const to = await carry(desktop);
    const spoken = Number(await said(to));
    await changes(3);
    await typed(to, 'after');
    await until('the neighbour goes on', async () => Number(await said(to)) > spoken, 15_000);
    const programs = await world.hosts.run(to, 'ps -eo comm=');
    expect(programs.stdout.split('\n')).toEqual(
      expect.arrayContaining([
        'Xtigervnc',
        'icewm',
        'xterm',
        'dillo',
        'xpdf.real',
        'nedit',
        'irssi',
        'ngircd',
      ]),
    );
    const { stdout } = await world.hosts.run(to, 'cat /var/lib/move/pods/desktop-example/root/tmp/typed');
    expect(stdout).toBe('before\nafter\n');
    expect(log.match(/onnected to/g)).toHaveLength(1);
    expect(log).not.toMatch(/reset|closed|disconnect/i);
    viewer.kill();
    screen.kill();
  });

  it('two of them at once go to the same site', { timeout: 60_000 }, async () => {
    const both = [numbers, desktop];
    const here = both.map((service) => world.state.services[service]?.site);
    const to = ['b2', 'c2', 'a1'].find((site) => !here.includes(site)) ?? '';
    const moves = await Promise.all(both.map((service) => world.move({ service, to })));
    expect(moves.map((move) => [move.service, move.to, move.state])).toEqual(
      both.map((service) => [service, to, 'done']),
    );
    await until(
      'each has one copy',
      async () => (await world.copies(numbers)).length + (await world.copies(desktop)).length === 2,
      10_000,
    );
    const page = await world.hosts.run(
      'client-1',
      `curl -s -m 10 -x ${person.ready.httpProxy} http://${numbers}/`,
    );
    expect(page.stdout).toBe('numbers\n');
  });

  it('removes one of them while it is away from home, and adds it anew', { timeout: 60_000 }, async () => {
    if (world.state.services[library]?.site === 'b1') await carry(library);
    const removed = await world.cli(['service', 'remove', 'library']);
    expect(removed).toMatchObject({ code: 0 });
    await world.until('it is gone', ({ services }) => services[library] === undefined || null, 5_000);
    const left = await Promise.all(
      Object.values(world.manifest.hosts)
        .filter((host) => host.role === 'site')
        .map(
          async ({ name }) =>
            (await world.hosts.run(name, 'ls /var/lib/move/pods; mount | grep sshfs')).stdout,
        ),
    );
    expect(left.join('')).not.toContain('library');
    const added = await world.cli(['service', 'add', 'assets/services/library.yaml']);
    expect(added).toMatchObject({ code: 0 });
    const page = await world.hosts.run(
      'client-1',
      `curl -sk -m 10 -x ${person.ready.httpProxy} https://${library}/`,
    );
    expect(page.stdout).toContain('The library');
  });
});
