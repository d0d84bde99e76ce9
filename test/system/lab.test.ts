import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { labExec } from '../../core/lab/exec.ts';
import {
  labStatus,
  readLabCounters,
  readLabManifest,
  rotateStone,
  setHostPower,
  setLink,
  startLab,
  stopLab,
} from '../../core/lab/lab.ts';
import type { LabManifest } from '../../core/lab/manifest.ts';
import { catalogue } from '../../core/lab/sample-storage.ts';
import { labImpossible, temporaryHome, within } from './lab-fixture.ts';

const why = labImpossible();

describe.skipIf(why !== null)(`the lab${why ? ` (${why})` : ''}`, () => {
  let place: ReturnType<typeof temporaryHome>;
  let manifest: LabManifest;

  beforeAll(async () => {
    place = temporaryHome();
    manifest = await startLab({ home: place.home });
  });

  afterAll(async () => {
    await stopLab({ home: place.home });
    place.remove();
  });

  /** Runs a shell line on a host by SSH and returns what it said. */
  function on(host: string, line: string): { code: number | null; text: string } {
    const result = spawnSync('ssh', ['-F', manifest.sshConfigPath, host, line], {
      encoding: 'utf8',
      timeout: 30_000,
    });
    return { code: result.status, text: `${result.stdout}${result.stderr}`.trim() };
  }

  const address = (host: string, link: 'primary' | 'secondary' | 'global' | 'internal') => {
    const found = manifest.hosts[host]?.addresses[link];
    if (!found) throw new Error(`${host} has no ${link} address`);
    return found;
  };

  const roundTripMs = (text: string) => Number(/= [\d.]+\/([\d.]+)\//.exec(text)?.[1]);

  it('reaches every host by SSH, each by the way that its place demands', () => {
    for (const name of Object.keys(manifest.hosts)) {
      expect(on(name, 'hostname; stat -Lc %i /proc/self/ns/net')).toEqual({
        code: 0,
        text: `${name}\n${manifest.hosts[name]?.netnsInode}`,
      });
    }
  });

  it('passes exit codes and words through unchanged', async () => {
    const home = place.home;
    expect(await labExec('a1', ['sh', '-c', 'exit 7'], { home })).toBe(7);
    expect(await labExec('a1', ['test', "it's $HOME", '=', "it's $HOME"], { home })).toBe(0);
    await expect(labExec('nobody', ['true'], { home })).rejects.toMatchObject({ code: 'HOST_UNKNOWN' });
  });

  it('tells nobody but its owner', () => {
    for (const file of [manifest.bridgeSocket, manifest.controlSocket, manifest.sshKeyPath]) {
      expect(statSync(file).mode & 0o077).toBe(0);
    }
    expect(on('b1', 'touch /etc/move/lab.json; cat /etc/move/lab.json').text).toContain(
      'Read-only file system',
    );
    expect(JSON.parse(on('b1', 'cat /etc/move/lab.json').text).labId).toBe(manifest.labId);
  });

  it('has the round trips that its specification asks for', () => {
    for (const [host, isp] of [
      ['a1', 'a'],
      ['b1', 'b'],
      ['c1', 'c'],
    ] as const) {
      const { text } = on('client-1', `ping -c 5 -i 0.05 -q ${address(host, 'primary')}`);
      const asked = manifest.roundTripMs.homes?.[isp] ?? 0;
      expect(roundTripMs(text)).toBeGreaterThanOrEqual(asked);
      expect(roundTripMs(text)).toBeLessThan(asked + 8);
    }
  });

  it('shows secondary addresses only inside of their ISP', () => {
    const ping = (from: string) => on(from, `ping -c 2 -i 0.1 -W 1 -q ${address('a1', 'secondary')}`).code;
    expect(ping('a2')).toBe(0);
    expect(ping('stone-a')).toBe(0);
    for (const outsider of ['bot-1', 'client-1', 'admin', 'node-1', 'b1', 'stone-b'])
      expect(ping(outsider)).not.toBe(0);
  });

  it('gives no answer to whoever dials a stone, at any address and from anywhere', async () => {
    const before = (await readLabCounters({ home: place.home })).rules.a?.new_to_stone ?? 0;
    for (const from of ['bot-1', 'admin', 'node-1', 'a1', 'b1']) {
      const { code } = on(
        from,
        `curl -s --max-time 1 telnet://${address('stone-a', 'global')}:22 < /dev/null`,
      );
      expect(code).toBe(28);
    }
    expect((await readLabCounters({ home: place.home })).rules.a?.new_to_stone ?? 0).toBeGreaterThan(before);
    expect(on('stone-a', `ping -c 1 -W 2 -q ${address('node-1', 'global')}`).code).toBe(0);
  });

  it('offers no sshd on a primary address', () => {
    expect(
      on('client-1', `curl -s --max-time 2 telnet://${address('a1', 'primary')}:22 < /dev/null`).code,
    ).toBe(7);
  });

  it('drops forged sources', async () => {
    const forged = [
      'ip addr add 198.18.1.99/32 dev global',
      `ping -c 1 -W 1 -q -I 198.18.1.99 ${address('a1', 'primary')}`,
    ].join(';');
    const before = (await readLabCounters({ home: place.home })).rules.botnet?.forged_source ?? 0;
    expect(on('bot-1', forged).code).not.toBe(0);
    expect((await readLabCounters({ home: place.home })).rules.botnet?.forged_source ?? 0).toBeGreaterThan(
      before,
    );
  });

  it('lays the storage of the service out at its home site and nowhere else', () => {
    const digest = createHash('sha256').update(catalogue()).digest('hex');
    expect(on('a1', 'sha256sum < /srv/shop/catalogue.bin').text).toBe(`${digest}  -`);
    expect(on('a1', 'cat /srv/shop/index.html').text).toContain('<title>');
    expect(on('a2', 'ls -A /srv').text).toBe('');
  });

  it('carries no more than a link holds, and loses at the router what is too much', async () => {
    const target = address('a2', 'primary');
    const counters = async () => (await readLabCounters({ home: place.home })).links.a2?.primary;
    const before = await counters();
    const started = performance.now();
    on('bot-2', `timeout 2 sh -c 'head -c 40000000 /dev/zero | socat -u -b1400 - UDP-SENDTO:${target}:9'`);
    const seconds = (performance.now() - started) / 1000;
    const after = await counters();
    const carriedMbit = ((after?.toHostBytes ?? 0) - (before?.toHostBytes ?? 0)) * 8e-6;
    expect(carriedMbit).toBeGreaterThan(10);
    expect(carriedMbit / seconds).toBeLessThan(22);
    expect((after?.toHostDroppedPackets ?? 0) - (before?.toHostDroppedPackets ?? 0)).toBeGreaterThan(100);
  });

  it('keeps /var/lib/move and nothing else when a plug is pulled, frozen processes or not', async () => {
    const script = [
      'echo kept > /var/lib/move/durable; echo gone > /run/volatile',
      'nft add table inet leftover; ip link add left0 type veth peer name left1',
      'mkdir /sys/fs/cgroup/freezer/pod; sleep 600 </dev/null >/dev/null 2>&1 & echo $! > /sys/fs/cgroup/freezer/pod/cgroup.procs',
      'echo FROZEN > /sys/fs/cgroup/freezer/pod/freezer.state',
    ].join('\n');
    expect(on('c2', script).code).toBe(0);
    await setHostPower('c2', false, { home: place.home });
    expect((await labStatus({ home: place.home })).running).toBe(true);
    expect(on('c1', `ping -c 1 -W 1 -q ${address('c2', 'secondary')}`).code).not.toBe(0);
    await setHostPower('c2', true, { home: place.home });
    expect(
      on(
        'c2',
        'cat /var/lib/move/durable; ls /run/volatile /sys/fs/cgroup/freezer/pod 2>/dev/null; nft list ruleset; ls /sys/class/net',
      ).text,
    ).toBe('kept\nlo\nprimary\nsecondary');
    expect(on('c1', `ping -c 1 -W 1 -q ${address('c2', 'secondary')}`).code).toBe(0);
  });

  it('brings a stone back after its power was off', async () => {
    await setHostPower('stone-b', false, { home: place.home });
    await setHostPower('stone-b', true, { home: place.home });
    expect(await within(10_000, () => on('b2', 'hostname').text === 'b2')).toBe(true);
  });

  it('cuts and mends one link without touching the other', async () => {
    const ping = (link: 'primary' | 'secondary', from: string) =>
      on(from, `ping -c 1 -W 1 -q ${address('b1', link)}`).code;
    await setLink('b1', 'primary', false, { home: place.home });
    expect(ping('primary', 'client-1')).not.toBe(0);
    expect(ping('secondary', 'stone-b')).toBe(0);
    await setLink('b1', 'primary', true, { home: place.home });
    expect(ping('primary', 'client-1')).toBe(0);
    await expect(setLink('b1', 'global', false, { home: place.home })).rejects.toMatchObject({
      code: 'LINK_UNKNOWN',
    });
  });

  it('rotates the address of a stone under a connection that lives on', async () => {
    const before = address('stone-c', 'global');
    const ticks = spawn('ssh', [
      '-F',
      manifest.sshConfigPath,
      'c1',
      'for i in $(seq 30); do echo $i; sleep 0.05; done',
    ]);
    let seen = '';
    ticks.stdout.on('data', (chunk: Buffer) => {
      seen += chunk.toString('utf8');
    });
    const ended = new Promise<number | null>((resolve) => ticks.once('close', resolve));
    expect(await within(10_000, () => seen.includes('1\n'))).toBe(true);
    const rotation = await rotateStone('stone-c', { home: place.home });
    expect(rotation.address).not.toBe(before);
    expect(rotation.oldAddresses).toEqual([before]);
    expect(await ended).toBe(0);
    expect(seen.trim().split('\n')).toHaveLength(30);
    expect((await readLabManifest({ home: place.home })).hosts['stone-c']?.addresses.global).toBe(
      rotation.address,
    );
    const dialled = on('bot-1', `curl -s --max-time 1 telnet://${rotation.address}:22 < /dev/null`);
    expect(dialled.code).toBe(28);
    await expect(rotateStone('a1', { home: place.home })).rejects.toMatchObject({ code: 'NOT_A_STONE' });
  });

  it('is not started twice, and says where a specification is wrong', async () => {
    expect((await startLab({ home: place.home })).labId).toBe(manifest.labId);
    const other = temporaryHome();
    try {
      const spec = path.join(other.home, 'bad.yaml');
      writeFileSync(
        spec,
        readFileSync('core/lab/default-spec.yaml', 'utf8').replace('rateMbit: 20', 'rateMbit: none'),
      );
      await expect(startLab({ home: other.home, spec })).rejects.toMatchObject({ code: 'LAB_SPEC_INVALID' });
    } finally {
      other.remove();
    }
  });
});
