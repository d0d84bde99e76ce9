import { X509Certificate } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Connected, homePage, service, until, World, worldImpossible } from './world.ts';

const why = worldImpossible();
const right = { code: 0, status: 200, sha256: homePage.sha256 };

describe.skipIf(why !== null)(`the forwarder${why ? ` (${why})` : ''}`, () => {
  let world: World;

  beforeAll(async () => {
    world = await World.up();
  });
  afterAll(() => world?.down());

  /**
   * Asks for the page, at once after what `death` does to the access point, and tells how long it took until another one
   * was used. Both are measured on the client's own host.
   */
  async function changeAfter(
    person: Connected,
    death: () => Promise<unknown>,
  ): Promise<{ to: string; tookMs: number }> {
    const before = (await person.status()).accessPoint!.name;
    await death();
    const script = `
      began=$(date +%s%3N)
      curl -s -m 15 -o /dev/null -x ${person.ready.httpProxy} http://${service}/ &
      for i in $(seq 400); do
        now=$(curl -sf -m 2 ${person.ready.httpProxy}/status | grep -A1 '"accessPoint": {' | grep -o 'node-[0-9]*')
        [ -n "$now" ] && [ "$now" != ${before} ] && break
        sleep 0.02
      done
      echo $(($(date +%s%3N) - began)) $now
      wait`;
    const said = (await world.hosts.run(person.host, script, { limitMs: 40_000 })).stdout.trim().split(' ');
    return { to: said[1] ?? '', tookMs: Number(said[0]) };
  }

  it('changes to another access point within a second when its own is killed, and when it loses its power', {
    timeout: 120_000,
  }, async () => {
    const first = world.accessPoints()[0]!;
    const person = await world.connect('client-1', { accessPoints: [first] });
    // Only one was named: the others are known from the list that the authority signed.
    const standing = async () => (await person.status()).standby?.name;
    await until('somebody stands by', standing, 10_000);
    expect((await person.status()).nodeList).toMatchObject({ nodes: world.accessPoints().length });
    expect(await person.fetch(homePage.path)).toMatchObject(right);

    const killed = person.ready.accessPoint.name;
    const afterKill = await changeAfter(person, () =>
      world.hosts.run(killed, "kill -9 $(pgrep -f 'agent[.]mjs serve')"),
    );
    expect(afterKill.to).not.toBe(killed);
    expect(afterKill.tookMs).toBeLessThan(1_000);
    await until('right answers come', async () => (await person.fetch(homePage.path)).status === 200, 10_000);
    await world.until('its agent is back', (state) => state.nodes[killed]?.reach === 'up', 30_000);

    await until('somebody stands by again', standing, 10_000);
    const dark = (await person.status()).accessPoint!.name;
    try {
      const afterPower = await changeAfter(person, () => world.setPower(dark, false));
      expect(afterPower.to).not.toBe(dark);
      expect(afterPower.tookMs).toBeLessThan(1_000);
      await until(
        'right answers come',
        async () => (await person.fetch(homePage.path)).status === 200,
        15_000,
      );
    } finally {
      await world.setPower(dark, true);
    }
    await world.until('it is back', (state) => state.nodes[dark]?.reach === 'up', 40_000);
    await person.stop();
  });

  it('uses the service directly at home, the overlay while it is away, and never a decoy', {
    timeout: 90_000,
  }, async () => {
    const person = await world.connect('client-1', { more: '--way auto' });
    const way = async () => (await person.status()).services[0]?.way;
    const home = world.address('a1', 'primary');
    const usedBy = async (wanted: string) => {
      expect(await person.fetch(homePage.path)).toMatchObject(right);
      return (await way()) === wanted;
    };
    await until('it is used directly', () => usedBy('direct'), 15_000, 200);
    expect((await person.status()).line).toContain(
      `${service} directly at ${home}:80, because it is at home`,
    );

    // Somebody else's decoy takes the address, one that makes no effort to be told from the service.
    await world.client.call('service.policy', { service, decoy: 'off' });
    expect((await world.move({ to: 'b1' })).state).toBe('done');
    const decoy = await world.hosts.start(
      'a1',
      `exec /opt/move/bin/node -e "require('http').createServer((q,r)=>r.end('decoy')).listen(80,'${home}')"`,
    );
    try {
      const asked = `curl -s -m 2 -H 'Host: ${service}' http://${home}/`;
      await until(
        'the decoy answers',
        async () => (await world.hosts.run('client-2', asked)).stdout === 'decoy',
        10_000,
      );
      // For longer than the forwarder takes to look home again.
      for (const end = Date.now() + 4_000; Date.now() < end; ) expect(await usedBy('overlay')).toBe(true);
      expect((await person.status()).line).toContain(`${service} is not at its home a1`);
    } finally {
      decoy.kill();
    }
    expect((await world.move({ to: 'a1' })).state).toBe('done');
    await until('it is used directly again', () => usedBy('direct'), 15_000, 200);

    // Its door at home falls silent: no answer there, and none of the requests is lost.
    await world.setLink('a1', 'primary', false);
    try {
      await until(
        'home is left',
        async () => {
          await person.fetch(homePage.path);
          return (await way()) === 'overlay';
        },
        15_000,
      );
      expect((await person.status()).line).toContain(`${service} does not answer at home`);
    } finally {
      await world.setLink('a1', 'primary', true);
    }
    await until('right answers come', async () => (await person.fetch(homePage.path)).status === 200, 15_000);
    await person.stop();
  });

  it('renews a certificate as often as the administrator allowed, and writes it back', {
    timeout: 60_000,
  }, async () => {
    const credential = await world.issue({ name: 'Short Life', days: 15 / 86_400, renewals: 1 });
    const { pkcs12Base64: _, ...inPem } = credential;
    const person = await world.connect('client-1', { credential: inPem, name: 'short', more: '--renew' });
    const written = async () => {
      const { stdout } = await world.hosts.run('client-1', 'cat ~/short.pem');
      const certificate = new X509Certificate(stdout);
      return certificate.serialNumber === new X509Certificate(credential.certificatePem).serialNumber
        ? null
        : certificate;
    };
    const renewed = await until('it is written back', written, 20_000, 200);
    const mode = await world.hosts.run('client-1', 'stat -c %a ~/short.key.pem ~/short.pem');
    expect(mode.stdout.trim().split('\n')).toEqual(['600', '600']);
    expect((await world.journal()).filter(({ type }) => type === 'credential.renewed')).toMatchObject([
      { subject: 'Short Life', text: expect.stringContaining('0 more times') },
    ]);
    // Its own time is over by then: what is used is the new one.
    await until(
      'the first one has expired',
      () => Date.now() > credential.credential.notAfter + 1_500,
      20_000,
      200,
    );
    expect(await person.fetch(homePage.path)).toMatchObject(right);
    // Revoking the first takes along what it was renewed to.
    await world.client.call('credential.revoke', {
      serial: credential.credential.id,
      reason: 'keyCompromise',
    });
    const { credentials } = await world.client.call('credential.list', { includeExpired: true });
    expect(credentials.find(({ id }) => id === renewed.serialNumber)?.reason).toBe('keyCompromise');
    await until('it is shut out', async () => (await person.fetch(homePage.path)).status !== 200, 5_000);
    await person.stop();
  });
});
