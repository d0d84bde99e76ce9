import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AgentContract } from '../../core/contract/agent-contract.ts';
import { createClient } from '../../core/contract/channel.ts';
import type { Move } from '../../core/contract/domain.ts';
import { agentSocket } from '../../core/control/prove-controller.ts';
import type { FleetManifest } from '../../core/lab/manifest.ts';
import { probeOutcomes } from '../../core/measure/probe-sample.ts';
import { apacheCommand } from '../../core/pods/pod-spec.ts';
import { jsonLinesPort } from '../../core/runtime/message-ports/json-lines-port.ts';
import { type RunResult, runProgram } from '../../core/runtime/process.ts';
import { ControlProcess, cliProgram } from './world/control-process.ts';
import { LabHosts } from './world/lab-hosts.ts';
import { type Connected, homePage, password, service, until, World, worldImpossible } from './world.ts';

const why = worldImpossible();
const bread = 'bread.example';
const rolls = 'rolls.example';
const breadFile = `hostname: ${bread}
homeSite: c1
image: apache
command: ${JSON.stringify(apacheCommand)}
port: 80
probe:
  http: { path: /icons/blank.gif }
storage:
  path: /srv/bread
  mountPoint: /var/www/html
  sample: shop
`;

/** A control plane of an organisation's own beside the operator's, over one lab. */
describe.skipIf(why !== null)(`two control planes on one overlay${why ? ` (${why})` : ''}`, () => {
  let world: World;
  let home: string;
  let bakery: ControlProcess;
  const people: Connected[] = [];

  /** Runs `move …` in the organisation's home. */
  const move = (...args: string[]): Promise<RunResult> =>
    runProgram(process.execPath, [cliProgram, ...args], {
      timeoutMs: 120_000,
      env: { ...process.env, MOVE_HOME: home },
    });
  const file = (name: string) => path.join(home, name);
  const refusal = async (said: Promise<RunResult>) => {
    const { code, stderr } = await said;
    const { error } = JSON.parse(stderr.trim().split('\n').at(-1) ?? '{}') as {
      error?: { code: string; message: string };
    };
    return { code, error: error?.code, sentence: error?.message };
  };

  beforeAll(async () => {
    world = await World.up();
    home = mkdtempSync(path.join(os.tmpdir(), 'move-bakery-'));
    writeFileSync(file('bread.yaml'), breadFile);
    const said = async (result: Promise<RunResult>) => {
      const { code, stdout, stderr } = await result;
      if (code !== 0) throw new Error(stderr);
      return JSON.parse(stdout) as Record<string, unknown>;
    };
    const asked = await said(
      move('organisation', 'request', '--name', 'bakery', '--out', file('request.pem'), '--json'),
    );
    expect(asked).toMatchObject({ request: file('request.pem'), sshKey: file('request.pem.ssh.pub') });
    const admit = [
      'organisation',
      'admit',
      '--name',
      'bakery',
      '--service',
      bread,
      '--service',
      rolls,
      '--out',
      home,
      '--json',
    ];
    const keys = ['--request', file('request.pem'), '--ssh-key', file('request.pem.ssh.pub')];
    // Where one of the operator's services is at home, nothing is given away.
    expect(await refusal(world.cli([...admit, ...keys, '--site', 'a1']))).toMatchObject({
      error: 'SITE_BUSY',
      sentence: expect.stringContaining(service),
    });
    expect(await said(world.cli([...admit, ...keys, '--site', 'c1', '--site', 'c2']))).toMatchObject({
      sites: ['c1', 'c2'],
      given: ['c1', 'c2'],
      nodesTold: 8,
      share: file('bakery.share.json'),
    });
    await said(
      move(
        'organisation',
        'adopt',
        '--certificate',
        file('bakery.pem'),
        '--trust',
        file('trust.pem'),
        '--json',
      ),
    );
    expect(
      await said(move('organisation', 'attach', '--share', file('bakery.share.json'), '--json')),
    ).toEqual({
      overlay: world.manifest.name,
      sites: ['c1', 'c2'],
    });
    bakery = ControlProcess.spawn(home);
    await bakery.ready();
    expect(await said(move('service', 'add', file('bread.yaml'), '--json'))).toMatchObject({
      service: { id: bread, site: 'c1', state: 'running' },
    });
  }, 180_000);

  afterAll(async () => {
    for (const person of people) await person.stop().catch(() => undefined);
    await bakery?.stop();
    await world?.down();
    if (home) rmSync(home, { recursive: true, force: true });
  });

  it('shows each what is its own, and the rest as somebody else’s', async () => {
    const { sites, console: operator } = world.state;
    expect(Object.values(sites).map(({ id, holder }) => [id, holder])).toEqual([
      ['a1', undefined],
      ['a2', undefined],
      ['b1', undefined],
      ['b2', undefined],
      ['c1', 'the organisation bakery'],
      ['c2', 'the organisation bakery'],
    ]);
    expect([sites.c1?.reach, sites.c1?.pods]).toEqual(['unknown', []]);
    expect(operator.console?.phase).toBe('ready');
    const own = bakery.state;
    expect(own.console.console).toMatchObject({ phase: 'ready', phaseText: 'All hosts answer.' });
    expect(Object.values(own.sites).map(({ id, reach, holder }) => [id, reach, holder])).toEqual([
      ['c1', 'up', undefined],
      ['c2', 'up', undefined],
    ]);
    expect(Object.keys(own.nodes)).toHaveLength(8);
    expect(Object.values(own.nodes).every(({ holder }) => holder === 'the operator of the overlay')).toBe(
      true,
    );
    expect(Object.values(own.stones)).toEqual([
      expect.objectContaining({ id: 'stone-c', holder: 'the operator of the overlay' }),
    ]);
    // Nothing of anybody else's sites is in what was shared.
    expect(readFileSync(file('bakery.share.json'), 'utf8')).not.toContain(world.address('a1', 'secondary'));
  });

  it('move a service of theirs at the same time, and home, while people of both go on', async () => {
    const customer = await bakery.client.call('credential.issue', {
      name: 'Customer Example',
      services: [bread],
      days: 1,
      password,
    });
    people.push(
      await world.connect('client-1', { name: 'visitor' }),
      await world.connect('client-2', { name: 'customer', credential: customer }),
    );
    const asking = [await people[0]!.askOften(homePage.path, 20), await people[1]!.askOften('/', 20, bread)];
    const answered = () => asking.map((each) => each.count('ok'));
    await until('both are served', () => answered().every((count) => count > 20), 20_000);
    const carry = async (shop: string, loaf: string) => {
      const begun = answered();
      const [ours, theirs] = await Promise.all([
        world.move({ to: shop }),
        move('move', bread, '--to', loaf, '--json'),
      ]);
      expect(ours).toMatchObject({ state: 'done', to: shop, error: null });
      expect(theirs).toMatchObject({ code: 0 });
      const { move: other } = JSON.parse(theirs.stdout) as { move: Move };
      expect(other).toMatchObject({ state: 'done', to: loaf, error: null });
      // Both were under way at one moment.
      expect(Math.max(ours.startedAt, other.startedAt)).toBeLessThan(
        Math.min(ours.endedAt ?? 0, other.endedAt ?? 0),
      );
      expect(bakery.state.services[bread]).toMatchObject({ site: loaf, state: 'running' });
      await until(
        'both are served at the new places',
        () => answered().every((count, index) => count > (begun[index] ?? 0) + 20),
        20_000,
      );
    };
    await carry('b1', 'c2');
    await carry('a1', 'c1');
    for (const each of asking) await each.stop();
    const failed = asking.flatMap((each) =>
      probeOutcomes.filter((outcome) => outcome !== 'ok' && each.count(outcome) > 0),
    );
    expect(failed).toEqual([]);
  }, 120_000);

  it('lets the customers of an organisation in by any access point, and to nothing else', async () => {
    const credential = await bakery.client.call('credential.issue', {
      name: 'Regular Example',
      services: [bread],
      days: 1,
      password,
    });
    for (const [index, accessPoint] of world.accessPoints().entries()) {
      const person = await world.connect('client-2', {
        name: `regular-${index}`,
        credential,
        accessPoints: [accessPoint],
      });
      const seen = await person.askOften('/', 50, bread);
      await until(`an answer by ${accessPoint}`, () => seen.count('ok') > 0, 10_000);
      await seen.stop();
      expect(await person.fetch(homePage.path)).toMatchObject({ status: 403 });
      await person.stop();
    }
  }, 120_000);

  it('refuse the other’s sites and services', async () => {
    const theirs = { code: 1, sentence: expect.stringContaining('the organisation bakery') };
    expect(await refusal(world.cli(['move', service, '--to', 'c1', '--json']))).toMatchObject({
      ...theirs,
      error: 'SITE_FOREIGN',
    });
    await expect(world.client.call('move.start', { service: bread })).rejects.toMatchObject({
      code: 'SERVICE_FOREIGN',
    });
    const elsewhere = breadFile.replace('homeSite: c1', 'homeSite: b2');
    await expect(
      world.client.call('service.add', { text: elsewhere, source: 'bread.yaml' }),
    ).rejects.toMatchObject({ code: 'SERVICE_FOREIGN' });
    const cake = breadFile.replace(bread, 'cake.example').replace('port: 80', 'port: 80\ndirect: false');
    await expect(world.client.call('service.add', { text: cake, source: 'cake.yaml' })).rejects.toMatchObject(
      {
        code: 'SITE_FOREIGN',
      },
    );
    expect(await refusal(move('move', bread, '--to', 'a2', '--json'))).toMatchObject({
      code: 1,
      error: 'SITE_FOREIGN',
      sentence: expect.stringContaining('the operator'),
    });
    await expect(bakery.client.call('move.start', { service })).rejects.toMatchObject({
      code: 'SERVICE_FOREIGN',
    });
    await expect(
      bakery.client.call('service.add', { text: cake, source: 'cake.yaml' }),
    ).rejects.toMatchObject({
      code: 'SERVICE_FOREIGN',
    });
    await expect(
      bakery.client.call('service.add', { text: elsewhere.replace(bread, rolls), source: 'rolls.yaml' }),
    ).rejects.toMatchObject({ code: 'SITE_FOREIGN' });
    await expect(bakery.client.call('flood.start', { seconds: 1 })).rejects.toMatchObject({
      code: 'OPERATOR_ONLY',
    });
  });

  it('are each turned away by the other’s agents, whatever they can reach by SSH', async () => {
    const key = { sshKeyPath: path.join(home, 'share', 'ssh-key') };
    const share = JSON.parse(readFileSync(file('bakery.share.json'), 'utf8')) as FleetManifest;
    // The lab's own key opens every host: what refuses is the agent.
    const asOperator = new LabHosts(world.manifest, world.home);
    const asBakery = new LabHosts(world.manifest, home);
    const byOwnKey = new LabHosts({ ...share, ...key }, home);
    try {
      await expect(asOperator.agent('c1')).rejects.toMatchObject({ code: 'CONTROLLER_DENIED' });
      for (const host of ['a1', 'node-1', 'stone-c'])
        await expect(asBakery.agent(host)).rejects.toMatchObject({ code: 'CONTROLLER_DENIED' });
      const socket = await asOperator.socket('c1', agentSocket);
      const nobody = createClient<AgentContract>(jsonLinesPort(socket));
      await expect(nobody.call('site.stop', { service: bread })).rejects.toMatchObject({
        code: 'CONTROLLER_UNPROVEN',
      });
      nobody.close();
      await until(
        'the organisation hears of it',
        () =>
          Object.values(bakery.state.events).some(
            ({ type, subject }) => type === 'access.refused' && subject === 'c1',
          ),
        10_000,
      );
      expect(await (await byOwnKey.agent('c2')).call('agent.hello', {})).toMatchObject({ host: 'c2' });
      // On its way it may pass, and do nothing else.
      expect(await byOwnKey.run('stone-c', 'id')).toMatchObject({ code: 1, stdout: '' });
      expect(await byOwnKey.run('admin', 'id')).toMatchObject({ code: 1, stdout: '' });
      await expect(byOwnKey.socket('stone-c', agentSocket)).rejects.toMatchObject({
        code: 'CHANNEL_REFUSED',
      });
      expect(bakery.state.services[bread]).toMatchObject({ state: 'running' });
    } finally {
      await Promise.all([asOperator, asBakery, byOwnKey].map((each) => each.close()));
    }
  }, 60_000);

  it('stay apart when both begin anew', async () => {
    await Promise.all([world.control.kill(), bakery.kill()]);
    bakery = ControlProcess.spawn(home);
    await Promise.all([world.respawnControl().ready(), bakery.ready()]);
    expect(world.state.sites.c2).toMatchObject({ holder: 'the organisation bakery', reach: 'unknown' });
    await until('bread runs', () => bakery.state.services[bread]?.state === 'running', 20_000);
    await world.until('the shop runs', ({ services }) => services[service]?.state === 'running', 20_000);
    expect([world.state.console.console?.phase, bakery.state.console.console?.phase]).toEqual([
      'ready',
      'ready',
    ]);
  }, 60_000);

  it('let an organisation pass no more when it is revoked, and do not take its sites for their own', async () => {
    const [admitted] = (await world.client.call('organisation.list', {})).organisations;
    expect(await world.hosts.run('stone-c', 'cat /root/.ssh/authorized_keys')).toMatchObject({
      stdout: expect.stringContaining('organisation:bakery'),
    });
    await world.client.call('credential.revoke', {
      serial: admitted!.serial,
      reason: 'cessationOfOperation',
    });
    for (const host of ['admin', 'stone-c'])
      await until(
        `the way is closed at ${host}`,
        async () =>
          !(await world.hosts.run(host, 'cat /root/.ssh/authorized_keys')).stdout.includes('organisation:'),
        10_000,
      );
    const state = world.state.sites.c1;
    expect(state).toMatchObject({ holder: 'the organisation bakery', reach: 'unknown' });
    await expect(world.client.call('move.start', { service, to: 'c1' })).rejects.toMatchObject({
      code: 'SITE_FOREIGN',
    });
  }, 30_000);
});
