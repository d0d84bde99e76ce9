import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until, World, worldImpossible } from './world.ts';

const why = worldImpossible();
const outsiders = ['client-1', 'bot-1', 'node-1', 'admin'] as const;

type Reply = 'connected' | 'refused' | 'silence';

/** A program for a host: dials each address and says how it was answered within the limit. */
const dialler = `
const { targets, limitMs } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
const dial = ([address, port]) => new Promise((resolve) => {
  const socket = require('node:net').connect({ host: address, port });
  const end = (answer) => { clearTimeout(timer); socket.destroy(); resolve(answer); };
  const timer = setTimeout(() => end('silence'), limitMs);
  socket.on('connect', () => end('connected'));
  socket.on('error', (error) => end(error.code === 'ETIMEDOUT' ? 'silence' : error.code === 'ECONNREFUSED' ? 'refused' : error.code));
});
Promise.all(targets.map(dial)).then((answers) => console.log(JSON.stringify(answers)));
`;

/** A program for a host: sends datagrams to an address and tells how many of them an answer came for. */
const sender = `
const { address, count } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
const socket = require('node:dgram').createSocket('udp4');
let objections = 0;
socket.on('error', () => { objections += 1; });
socket.connect(7400, address, async () => {
  for (let n = 0; n < count; n += 1) await new Promise((sent) => socket.send(Buffer.alloc(1000), () => setTimeout(sent, 1)));
  console.log(JSON.stringify({ objections }));
  socket.close();
});
`;

describe.skipIf(why !== null)(`what nobody outside may reach${why ? ` (${why})` : ''}`, () => {
  let world: World;

  beforeAll(async () => {
    world = await World.up();
  });

  afterAll(() => world?.down());

  async function onHost<T>(host: string, program: string, options: object): Promise<T> {
    const said = await world.hosts.run(host, `/opt/move/bin/node -e '${program.replaceAll("'", "'\\''")}'`, {
      input: JSON.stringify(options),
    });
    if (said.code !== 0) throw new Error(said.stderr);
    return JSON.parse(said.stdout) as T;
  }

  const dial = (from: string, targets: (readonly [string, number])[], limitMs = 1_500) =>
    onHost<Reply[]>(from, dialler, { targets, limitMs });

  /** Counts on a host what comes in from these networks, by the kernel's own rules. */
  async function witness(host: string, from: string): Promise<() => Promise<number>> {
    const rules = `table inet witness { counter seen { }; chain in { type filter hook prerouting priority -300; ip saddr ${from} counter name seen; }; }`;
    const said = await world.hosts.run(host, `nft delete table inet witness 2>/dev/null; nft '${rules}'`);
    expect(said).toMatchObject({ code: 0 });
    return async () => {
      const list = await world.hosts.run(host, 'nft list counter inet witness seen');
      return Number(/packets (\d+)/.exec(list.stdout)?.[1]);
    };
  }

  it('delivers nothing of what bots send to a secondary address that they know', async () => {
    const secondary = world.address('a1', 'secondary');
    const bots = Object.values(world.manifest.hosts).filter((host) => host.role === 'bot');
    const sources = bots.map((bot) => bot.addresses.global).join(', ');
    const seen = await witness('a1', `{ ${sources}, ${world.address('a2', 'secondary')} }`);
    const stopped = async () =>
      Object.values((await world.counters()).rules).reduce(
        (sum, rules) => sum + (rules.internal_at_border ?? 0),
        0,
      );
    const before = await stopped();
    await Promise.all(
      bots.map(async ({ name }) => {
        expect(await onHost(name, sender, { address: secondary, count: 200 })).toEqual({ objections: 0 });
        expect(
          await dial(name, [
            [secondary, 22],
            [secondary, 80],
            [secondary, 7400],
          ]),
        ).toEqual(['silence', 'silence', 'silence']);
      }),
    );
    // The drill's own flood program may aim there: it is the network that keeps it out.
    await world.client.call('flood.start', { target: secondary, seconds: 1 });
    await world.until('the flood is over', (state) => Object.keys(state.floods).length === 0, 10_000);
    expect(await stopped()).toBeGreaterThan(before + 600);
    expect(await seen()).toBe(0);
    // The witness does see what a neighbour inside the ISP sends, some milliseconds later. Where its host objects
    // to one datagram, the sender's kernel keeps the next one back to tell of it.
    const { objections } = await onHost<{ objections: number }>('a2', sender, {
      address: secondary,
      count: 20,
    });
    expect(objections).toBeLessThan(10);
    await expect.poll(seen, { timeout: 5_000, interval: 50 }).toBeGreaterThanOrEqual(20 - objections);
  }, 60_000);

  it('gives no answer at all to whoever dials a stepping stone, before and after its address changed', async () => {
    const ports = [22, 80, 7400];
    const first = world.address('stone-a', 'global');
    const everywhere = [first, world.address('stone-a', 'internal')];
    const expectSilence = async (addresses: readonly string[]) => {
      const targets = addresses.flatMap((address) => ports.map((port) => [address, port] as const));
      await Promise.all(
        [...outsiders, 'b1'].map(async (from) => {
          expect([from, await dial(from, targets)]).toEqual([from, targets.map(() => 'silence')]);
          expect(await onHost(from, sender, { address: addresses[0], count: 5 })).toEqual({ objections: 0 });
          const ping = await world.hosts.run(from, `ping -c 1 -W 1 -q ${addresses[0]}`);
          expect([from, ping.code]).toEqual([from, 1]);
        }),
      );
    };
    await expectSilence(everywhere);
    const second = await world.rotate('stone-a');
    expect(second.address).not.toBe(first);
    await expectSilence([second.address, ...everywhere]);
    const third = await world.rotate('stone-a', true);
    expect(third.oldAddresses).toEqual([]);
    await expectSilence([third.address, second.address, first]);
    // Silent towards everybody else, it still carries the control plane to its sites.
    await until(
      'the site answers through its stone again',
      async () => (await world.hosts.run('a1', 'hostname')).stdout === 'a1\n',
      30_000,
      300,
    );
  }, 90_000);

  it('offers nobody outside the sshd of a site', async () => {
    for (const from of [...outsiders, 'b1']) {
      const answers = await dial(from, [
        [world.address('a1', 'primary'), 22],
        [world.address('a1', 'secondary'), 22],
      ]);
      expect([from, answers[0]]).not.toEqual([from, 'connected']);
      expect([from, answers[1]]).toEqual([from, 'silence']);
    }
    // The dialler does see a door that is open.
    expect(await dial('client-1', [[world.address('a1', 'primary'), 80]])).toEqual(['connected']);
    expect(await dial('stone-a', [[world.address('a1', 'secondary'), 22]])).toEqual(['connected']);
  }, 60_000);
});
