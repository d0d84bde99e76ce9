import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { doorPort } from '../../core/control/doors.ts';
import { codeAt, codeSeconds, fromBase32 } from '../../core/credentials/password/one-time-code.ts';
import { catalogue } from '../../core/lab/sample-storage.ts';
import type { IssuedCredential } from './world/connect.ts';
import { homePage, service, sha256, until, World, worldImpossible } from './world.ts';

const why = worldImpossible();
const host = 'client-1';
const root = '/root';

describe.skipIf(why !== null)(`the browser door in the lab${why ? ` (${why})` : ''}`, () => {
  let world: World;
  let node: string;
  let other: string;

  beforeAll(async () => {
    world = await World.up();
    node = world.address('node-1', 'global');
    other = world.address('node-2', 'global');
  });

  afterAll(() => world?.down());

  async function carry(name: string, credential: IssuedCredential): Promise<string> {
    await world.hosts.write(host, `${root}/door.trust.pem`, credential.trustPem);
    await world.hosts.write(host, `${root}/${name}.pem`, credential.certificatePem);
    await world.hosts.write(host, `${root}/${name}.key`, credential.keyPem);
    return `--cert ${root}/${name}.pem --key ${root}/${name}.key`;
  }

  /** Asks by the real curl of a client host; the answer's code, its own code for an error, and its bytes' digest. */
  async function ask(target: string, args: string, at = node) {
    const url = target.startsWith('https:') ? target : `https://${service}:${doorPort}${target}`;
    const said = await world.hosts.run(
      host,
      `curl -sS -m 10 --cacert ${root}/door.trust.pem --resolve ${service}:${doorPort}:${at} -D /tmp/head -o /tmp/body ${args} -w '%{exitcode} %{http_code}' '${url}'; echo " $(sha256sum < /tmp/body | cut -c1-64) $(sed -n 's/^x-move-error: //Ip' /tmp/head)"; cat /tmp/body | head -c 4000`,
      { limitMs: 20_000 },
    );
    const [line = '', ...body] = said.stdout.split('\n');
    const [code, status, digest, refusal] = line.trim().split(/\s+/);
    return {
      code: Number(code),
      status: Number(status),
      sha256: digest,
      refusal,
      body: body.join('\n'),
      stderr: said.stderr,
    };
  }

  it('opens at every access point, with a certificate that curl believes for name and address', async () => {
    const person = await carry('ada', await world.issue({ name: 'Ada at the door' }));
    await until(
      'the doors are open',
      async () =>
        (await ask('/.move/', person)).status === 200 && (await ask('/.move/', person, other)).status === 200,
      20_000,
    );
    for (const at of [node, other])
      expect(await ask(homePage.path, person, at)).toMatchObject({
        code: 0,
        status: 200,
        sha256: homePage.sha256,
      });
    expect(await ask(`https://${node}:${doorPort}/`, person)).toMatchObject({ code: 0, status: 303 });
    const stranger = await ask('/', '');
    expect(stranger).toMatchObject({ status: 403, refusal: 'ADMISSION_REQUIRED' });
    const test = await ask('/.move/human-test', '');
    expect(test).toMatchObject({ status: 200 });
    expect(test.body).toContain('Which letters are these?');
    const shown = await world.hosts.run(
      host,
      `printf 'GET /.move/ HTTP/1.1\\r\\nHost: ${service}\\r\\nConnection: close\\r\\n\\r\\n' | openssl s_client -connect ${node}:${doorPort} -servername ${service} -CAfile ${root}/door.trust.pem -verify_return_error -verify_hostname ${service} -cert ${root}/ada.pem -key ${root}/ada.key -ign_eof 2>&1`,
    );
    expect(shown.stdout).toContain('Verify return code: 0 (ok)');
    expect(shown.stdout).toContain('Acceptable client certificate CA names');
    expect(shown.stdout).toContain('You are Ada at the door');
  }, 60_000);

  it('carries a download through a move with every byte right', async () => {
    const person = await carry('grace', await world.issue({ name: 'Grace at the door' }));
    const bytes = catalogue();
    const downloading = world.hosts.run(
      host,
      `curl -sS -m 60 --cacert ${root}/door.trust.pem --resolve ${service}:${doorPort}:${node} ${person} --limit-rate 1M -o /tmp/door-catalogue 'https://${service}:${doorPort}/catalogue.bin'; echo $?; sha256sum < /tmp/door-catalogue`,
      { limitMs: 70_000 },
    );
    await until(
      'the download has begun',
      async () =>
        Number((await world.hosts.run(host, 'stat -c %s /tmp/door-catalogue 2>/dev/null || echo 0')).stdout) >
        500_000,
      15_000,
    );
    expect((await world.move({ to: 'b1' })).state).toBe('done');
    const [code, digest] = (await downloading).stdout.split('\n');
    expect([code, digest?.slice(0, 64)]).toEqual(['0', sha256(bytes)]);
    expect((await world.move({ to: 'a1' })).state).toBe('done');
  }, 90_000);

  it('refuses wrong address, wrong service and whoever is revoked, and cuts their download', async () => {
    const wrong = await carry(
      'wrong',
      await world.issue({ name: 'Wrong service', services: ['wiki.example'] }),
    );
    expect(await ask('/', wrong)).toMatchObject({ status: 403, refusal: 'SCOPE_DENIED' });
    const credential = await world.issue({ name: 'Eve at the door' });
    const person = await carry('eve', credential);
    const cut = world.hosts.run(
      host,
      `curl -sS -m 30 --cacert ${root}/door.trust.pem --resolve ${service}:${doorPort}:${node} ${person} --limit-rate 500k -o /tmp/door-cut 'https://${service}:${doorPort}/catalogue.bin'; echo $?`,
      { limitMs: 40_000 },
    );
    await until(
      'the download has begun',
      async () =>
        Number((await world.hosts.run(host, 'stat -c %s /tmp/door-cut 2>/dev/null || echo 0')).stdout) >
        100_000,
      15_000,
    );
    const { toldWithinMs } = await world.client.call('credential.revoke', {
      serial: credential.credential.id,
    });
    expect(toldWithinMs).toBeLessThan(1_000);
    // CURLE_PARTIAL_FILE, a reset, or one of the stream in HTTP/2
    expect(['18', '56', '92']).toContain((await cut).stdout.trim());
    expect(await ask('/', person)).toMatchObject({ status: 403, refusal: 'CERTIFICATE_REVOKED' });
  }, 60_000);

  it('closes a service to human-tested people at every door at once', async () => {
    const closed = await world.cli(['admission', 'set', '--close', service, '--json']);
    expect(closed.code).toBe(0);
    expect(JSON.parse(closed.stdout)).toMatchObject({
      services: [{ service, humanTest: false }],
      accessPointsTold: 8,
    });
    expect(await ask('/.move/human-test', '')).toMatchObject({ status: 403, refusal: 'ADMISSION_CLOSED' });
    const opened = await world.cli(['admission', 'set', '--open', service, '--lifetime-minutes', '5']);
    expect(JSON.parse(opened.stdout)).toMatchObject({ lifetimeMinutes: 5 });
    expect(await ask('/.move/human-test?form=sound', '')).toMatchObject({ status: 200 });
  }, 30_000);

  it('lets somebody in by password from the moment on that the administrator says so', async () => {
    expect(await ask('/.move/password', '')).toMatchObject({ status: 403, refusal: 'ADMISSION_CLOSED' });
    const file = path.join(world.home, 'grace.password');
    writeFileSync(file, 'a long enough word\n', { mode: 0o600 });
    const person = ['Grace Example', '--service', service, '--password-file', file];
    const added = await world.cli(['admission', 'add', ...person]);
    expect(added.code).toBe(0);
    const { otpauth, accessPointsTold } = JSON.parse(added.stdout) as {
      otpauth: string;
      accessPointsTold: number;
    };
    expect(accessPointsTold).toBe(8);
    const secret = fromBase32(new URL(otpauth).searchParams.get('secret') ?? '');
    const code = codeAt(secret, Math.floor(Date.now() / 1000 / codeSeconds));
    const form = `-c /tmp/grace.jar --data-urlencode 'name=Grace Example' --data-urlencode 'password=a long enough word' -d code=${code}`;
    expect(await ask('/.move/password', form)).toMatchObject({ status: 303 });
    expect(await ask(homePage.path, '-b /tmp/grace.jar')).toMatchObject({
      status: 200,
      sha256: homePage.sha256,
    });
    await world.until(
      'the journal tells of it',
      (state) =>
        Object.values(state.events).some(
          ({ type, text }) => type === 'admission.granted' && text.startsWith('Grace Example'),
        ),
      5_000,
    );
    const cut = world.hosts.run(
      host,
      `curl -sS -m 30 --cacert ${root}/door.trust.pem --resolve ${service}:${doorPort}:${node} -b /tmp/grace.jar --limit-rate 500k -o /tmp/grace-cut 'https://${service}:${doorPort}/catalogue.bin'; echo $?`,
      { limitMs: 40_000 },
    );
    await until(
      'her download has begun',
      async () =>
        Number((await world.hosts.run(host, 'stat -c %s /tmp/grace-cut 2>/dev/null || echo 0')).stdout) >
        100_000,
      15_000,
    );
    const listed = JSON.parse((await world.cli(['admission', 'visitors', '--json'])).stdout) as {
      visitors: { id: string; name: string; accessPoint: string; method: string }[];
    };
    const grace = listed.visitors.find(({ name }) => name === 'Grace Example');
    expect(grace).toMatchObject({ method: 'password', accessPoint: 'node-1' });
    const revoked = await world.cli(['admission', 'revoke', grace!.id, '--json']);
    expect(revoked.code).toBe(0);
    const { toldWithinMs, ...told } = JSON.parse(revoked.stdout) as {
      toldWithinMs: number;
      accessPointsTold: number;
    };
    expect(toldWithinMs).toBeLessThan(1_000);
    expect(told.accessPointsTold).toBe(8);
    expect(['18', '56', '92']).toContain((await cut).stdout.trim());
    expect(await ask('/', '-b /tmp/grace.jar')).toMatchObject({ status: 403, refusal: 'ADMISSION_OVER' });
    expect((await world.cli(['admission', 'remove', 'Grace Example'])).code).toBe(0);
    expect(await ask('/.move/password', '')).toMatchObject({ status: 403, refusal: 'ADMISSION_CLOSED' });
    expect(await ask('/', '-b /tmp/grace.jar')).toMatchObject({ status: 403, refusal: 'ADMISSION_OVER' });
  }, 60_000);
});
