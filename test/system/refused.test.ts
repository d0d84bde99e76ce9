import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { connect as tlsConnect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { linkPort } from '../../core/control/host-plan.ts';
import { decryptPrivateKeyPem } from '../../core/credentials/encrypted-key.ts';
import { type LocationRecord, signLocationRecord } from '../../core/overlay/location-record.ts';
import type { MoveError } from '../../core/runtime/errors.ts';
import type { Link } from '../../core/runtime/link/link.ts';
import { connectLink, type LinkIdentity } from '../../core/runtime/link/link-tls.ts';
import { createTestAuthority } from '../support/authority.ts';
import { Organisation, recordOf } from '../support/organisation.ts';
import { homePage, service, until, World, worldImpossible } from './world.ts';

const why = worldImpossible();

describe.skipIf(why !== null)(
  `refused, with a clear error and a journal entry${why ? ` (${why})` : ''}`,
  () => {
    let world: World;
    let trustPem: string;
    const node = 'node-1';

    beforeAll(async () => {
      world = await World.up();
      trustPem = (await world.client.call('credential.trust', {})).trustPem;
    });

    afterAll(() => world?.down());

    /** The journal entry of a refusal since `head` whose sentence has all these parts. */
    const entry = (head: number, type: string, ...parts: readonly string[]) =>
      until(
        `a journal entry ${type} with ${parts.join(', ')}`,
        async () =>
          (await world.journal(head)).find(
            (event) => event.type === type && parts.every((part) => event.text.includes(part)),
          ),
        5_000,
      );

    const dialNode = (from: string, to = node) =>
      world.hosts.tcp(from, world.address(to, 'global'), linkPort);

    /** A link from a host to an overlay node with whatever identity. @throws MoveError the node's objection. */
    const link = async (from: string, identity: LinkIdentity, to = node): Promise<Link> =>
      connectLink({
        transport: await dialNode(from, to),
        identity,
        verifyPeer: () => undefined,
        deadlineMs: 10_000,
      });

    /** What `move connect` says when it is turned away. */
    async function connectError(
      credential: Parameters<World['connect']>[1] & { host?: string },
    ): Promise<{ code: string; message: string }> {
      const { host = 'client-2', ...options } = credential;
      const outcome = await world
        .connect(host, { ...options, accessPoints: [`${world.address(node, 'global')}:${linkPort}`] })
        .then(
          async (connected) => {
            await connected.stop();
            return 'it connected';
          },
          (error: Error) => error.message,
        );
      return JSON.parse(outcome).error;
    }

    async function siteIdentity(site: string): Promise<LinkIdentity> {
      const [key, configuration] = await Promise.all([
        world.hosts.run(site, 'cat /var/lib/move/key.pem'),
        world.hosts.run(site, 'cat /var/lib/move/agent.json'),
      ]);
      const { certificatePem } = JSON.parse(configuration.stdout) as { certificatePem: string };
      return { certificatePem, keyPem: key.stdout, trustPem: [trustPem] };
    }

    const currentRecord = async () =>
      (await (await world.hosts.agent(node)).call('overlay.fetch', { service }, { deadlineMs: 5_000 }))
        .record as LocationRecord;

    describe('clients', () => {
      it('without a certificate', async () => {
        const head = await world.journalHead();
        const socket = tlsConnect({
          socket: await dialNode('client-2'),
          ALPNProtocols: ['move-link/1'],
          rejectUnauthorized: false,
          minVersion: 'TLSv1.3',
        });
        const said = await new Promise<string>((resolve) => {
          let text = '';
          socket.on('data', (chunk: Buffer) => {
            text += chunk.toString('latin1');
          });
          socket.on('error', (error) => {
            text += error.message;
          });
          for (const event of ['end', 'close']) socket.once(event, () => resolve(text));
        });
        socket.destroy();
        expect(said).toContain('CERTIFICATE_MISSING');
        expect(said).toContain('ask your administrator');
        await entry(
          head,
          'access.refused',
          node,
          world.address('client-2', 'global'),
          'A client certificate is required',
        );
      });

      it('with an expired one', async () => {
        const issued = await world.issue({ name: 'Late Example', days: 0.00012 });
        const head = await world.journalHead();
        await until(
          'the certificate is expired',
          () => Date.now() > issued.credential.notAfter + 1_000,
          20_000,
        );
        expect(await connectError({ credential: issued })).toMatchObject({
          code: 'CERTIFICATE_EXPIRED',
          message: expect.stringContaining('expired'),
        });
        await entry(head, 'access.refused', issued.credential.id.slice(-12), 'expired');
      }, 40_000);

      it('with a revoked one: live connections end within a second, new ones are refused', async () => {
        const issued = await world.issue({ name: 'Gone Example' });
        const person = await world.connect('client-2', { credential: issued });
        try {
          const download = await person.download('/catalogue.bin', {
            bytesPerSecond: 300_000,
            limitSeconds: 60,
          });
          await until('the download has begun', async () => (await download.arrived()) > 100_000, 10_000);
          const head = await world.journalHead();
          const askedAt = performance.now();
          const [revoked, cutAfterMs] = await Promise.all([
            world.client.call('credential.revoke', { serial: issued.credential.id, reason: 'keyCompromise' }),
            download.done.then(() => performance.now() - askedAt),
          ]);
          // The links are cut when the access points have said so; curl reads what it holds at its own pace first.
          expect(cutAfterMs).toBeLessThan(10_000);
          expect(revoked.accessPointsTold).toBe(8);
          expect(revoked.toldWithinMs).toBeLessThan(1_000);
          expect((await download.done).code).not.toBe(0);
          await entry(head, 'credential.revoked', 'Gone Example', 'keyCompromise');
          expect(await connectError({ credential: issued })).toMatchObject({
            code: 'CERTIFICATE_REVOKED',
            message: expect.stringContaining('revoked'),
          });
          await entry(head, 'access.refused', issued.credential.id.slice(-12), 'revoked');
        } finally {
          await person.stop();
        }
      }, 60_000);

      it('with a revoked one, at every access point: live links are cut within a second', async () => {
        const issued = await world.issue({ name: 'Everywhere Example' });
        const identity = { ...issued, trustPem: [trustPem] };
        const nodes = Array.from({ length: 8 }, (_, index) => `node-${index + 1}`);
        const links = await Promise.all(nodes.map((name) => link('client-2', identity, name)));
        try {
          const askedAt = performance.now();
          const cut = links.map(async (each) => ({
            code: (await each.closed)?.code,
            afterMs: performance.now() - askedAt,
          }));
          await world.client.call('credential.revoke', {
            serial: issued.credential.id,
            reason: 'keyCompromise',
          });
          for (const { code, afterMs } of await Promise.all(cut)) {
            expect(code).toBe('CERTIFICATE_REVOKED');
            expect(afterMs).toBeLessThan(1_000);
          }
          const again = await Promise.all(
            nodes.map((name) =>
              link('client-2', identity, name).then(
                (each) => {
                  each.close();
                  return 'connected';
                },
                (error: MoveError) => error.code,
              ),
            ),
          );
          expect(again).toEqual(nodes.map(() => 'CERTIFICATE_REVOKED'));
        } finally {
          for (const each of links) each.close();
        }
      }, 30_000);

      it('with one that somebody else signed', async () => {
        const foreign = await createTestAuthority('MOVE authority');
        const issued = await foreign.issue({ role: 'client', name: 'stranger', services: [service] });
        const head = await world.journalHead();
        const credential = { certificatePem: issued.certificatePem, keyPem: issued.keyPem, trustPem };
        expect(await connectError({ credential })).toMatchObject({ code: 'CERTIFICATE_FOREIGN' });
        const event = await entry(head, 'access.refused', issued.certificate.serialNumber.slice(-12));
        expect(event.text).toMatch(/authority|not issued|foreign/i);
      });

      it('for a service outside of its scope, by the forwarder and by the access point', async () => {
        const issued = await world.issue({ name: 'Narrow Example', services: ['other.example'] });
        const head = await world.journalHead();
        const person = await world.connect('client-2', { credential: issued });
        try {
          expect(await person.fetch(homePage.path)).toMatchObject({ code: 0, status: 403 });
        } finally {
          await person.stop();
        }
        // A forwarder that does not care what its certificate says gets no further.
        const rogue = await link('client-2', { ...issued, trustPem: [trustPem] });
        try {
          const outcome = await rogue
            .openStream({ kind: 'service', service, port: 80 }, { deadlineMs: 5_000 })
            .then(
              () => ({ code: 'ACCEPTED', message: '' }),
              (error: MoveError) => ({ code: error.code, message: error.message }),
            );
          expect(outcome).toEqual({ code: 'SCOPE_DENIED', message: expect.stringContaining(service) });
        } finally {
          rogue.close();
        }
        await entry(head, 'access.refused', 'Narrow Example', service);
      });
    });

    describe('announcements', () => {
      /** What an overlay node answers to an announcement over a link of this holder. */
      async function announce(
        from: string,
        identity: LinkIdentity,
        record: unknown,
      ): Promise<{ code: string; message: string }> {
        const holder = await link(from, identity);
        try {
          return await holder.call('directory.announce', { record }, { deadlineMs: 5_000 }).then(
            (answer) => ({ code: 'ACCEPTED', message: JSON.stringify(answer) }),
            (error: { code: string; message: string }) => ({ code: error.code, message: error.message }),
          );
        } finally {
          holder.close();
        }
      }

      it("of another site's location by a site, in that site's name or in its own", async () => {
        const identity = await siteIdentity('a2');
        const record = await currentRecord();
        expect(record.site).toBe('a1');
        const head = await world.journalHead();
        expect(await announce('a2', identity, record)).toMatchObject({ code: 'ANNOUNCE_DENIED' });
        await entry(head, 'access.refused', 'a2', 'may not announce');
        const now = Date.now();
        const stolen = signLocationRecord(
          {
            service,
            site: 'a2',
            address: `${world.address('a2', 'primary')}:${linkPort}`,
            epoch: record.epoch,
            issuedAt: now,
            expiresAt: now + 60_000,
            delegation: record.delegation,
          },
          { key: identity.keyPem, certificatePem: identity.certificatePem },
        );
        expect(await announce('a2', identity, stolen)).toMatchObject({
          code: 'RECORD_INVALID',
          message: expect.stringContaining('another service, site or epoch'),
        });
        await entry(head, 'access.refused', 'a2', 'another service, site or epoch');
        expect(await currentRecord()).toMatchObject({ site: 'a1', epoch: record.epoch });
      });

      it('by a service, even of itself', async () => {
        const services = path.join(world.home, 'services');
        const passphrase = readFileSync(path.join(world.home, 'passphrase'), 'utf8').trim();
        const key = decryptPrivateKeyPem(
          readFileSync(path.join(services, `${service}.key.pem`), 'utf8'),
          passphrase,
        );
        const certificatePem = readFileSync(path.join(services, `${service}.pem`), 'utf8');
        const identity = {
          certificatePem,
          keyPem: String(key.export({ type: 'pkcs8', format: 'pem' })),
          trustPem: [trustPem],
        };
        const head = await world.journalHead();
        const refusal = await announce('a2', identity, await currentRecord()).catch(
          (error: { code: string; message: string }) => error,
        );
        // Its certificate may not even begin a connection: it is for serving.
        expect(refusal.code).toMatch(/^(ROLE_DENIED|ANNOUNCE_DENIED|CERTIFICATE_)/);
        const serial = new X509Certificate(certificatePem).serialNumber;
        await until(
          'a journal entry about it',
          async () =>
            (await world.journal(head)).some(
              (event) =>
                event.type === 'access.refused' &&
                (event.text.includes(service) || event.text.toUpperCase().includes(serial)),
            ),
          5_000,
        );
      });

      it('with an old epoch, by the site that had it', async () => {
        const old = await currentRecord();
        const identity = await siteIdentity('a1');
        expect((await world.move({ to: 'b1' })).state).toBe('done');
        const head = await world.journalHead();
        const now = Date.now();
        const again = signLocationRecord(
          { ...old, issuedAt: now, expiresAt: now + 60_000 },
          { key: identity.keyPem, certificatePem: identity.certificatePem },
        );
        expect(await announce('a1', identity, again)).toMatchObject({
          code: 'EPOCH_STALE',
          message: expect.stringContaining(`epoch ${old.epoch + 1}`),
        });
        await entry(head, 'access.refused', 'a1', `epoch ${old.epoch}`);
        expect(await currentRecord()).toMatchObject({ site: 'b1', epoch: old.epoch + 1 });
      }, 60_000);
    });

    describe('organisations', () => {
      it('announce what is theirs and nothing else, until the operator revokes them', async () => {
        const [own, site, name] = ['bread.example', 'bakery-1', 'bakery'];
        const head = await world.journalHead();
        const admit = (services: string[]) => (requestPem: string) =>
          world.client.call('organisation.admit', { name, services, sites: [site], days: 1, requestPem });
        await expect(Organisation.admittedBy(name, admit([service]))).rejects.toMatchObject({
          code: 'SCOPE_TAKEN',
        });
        let serial = '';
        const bakery = await Organisation.admittedBy(name, async (requestPem) => {
          const admitted = await admit([own])(requestPem);
          expect(admitted.nodesTold).toBe(8);
          serial = admitted.credential.id;
          return admitted;
        });
        const links: Link[] = [];
        try {
          const holder = await bakery.certify('site', site, [own]);
          const nodes = Array.from({ length: 8 }, (_, index) => `node-${index + 1}`);
          links.push(...(await Promise.all(nodes.map((each) => link('a2', holder, each)))));
          const announce = (record: LocationRecord) =>
            links[0]?.call('directory.announce', { record }, { deadlineMs: 5_000 });
          const key = await bakery.certify('service', own);
          await announce(recordOf({ service: own, site }, key, holder));
          const agent = await world.hosts.agent('node-5');
          expect(await agent.call('overlay.fetch', { service: own }, { deadlineMs: 5_000 })).toMatchObject({
            record: { site, epoch: 1 },
          });
          // The operator's service, at the organisation's site, by the organisation's key.
          await expect(announce(recordOf({ service, site, epoch: 99 }, key, holder))).rejects.toMatchObject({
            code: 'ORGANISATION_DENIED',
          });
          await entry(head, 'access.refused', site, service, 'another organisation');
          expect(await currentRecord()).not.toMatchObject({ site });
          const askedAt = performance.now();
          const cut = links.map(async (each) => ({
            code: (await each.closed)?.code,
            afterMs: performance.now() - askedAt,
          }));
          await world.client.call('credential.revoke', { serial, reason: 'cessationOfOperation' });
          for (const { code, afterMs } of await Promise.all(cut)) {
            expect(code).toBe('CERTIFICATE_REVOKED');
            expect(afterMs).toBeLessThan(1_000);
          }
          expect((await world.client.call('organisation.list', {})).organisations).toEqual([]);
          await expect(link('a2', holder)).rejects.toMatchObject({
            code: expect.stringMatching(/^CERTIFICATE_(REVOKED|FOREIGN)$/),
          });
        } finally {
          for (const each of links) each.close();
          bakery.close();
        }
      }, 60_000);
    });

    describe('floods', () => {
      const outside = () => [
        '192.0.2.1',
        '8.8.8.8',
        '127.0.0.1',
        '224.0.0.1',
        '198.18.250.1',
        world.address('node-1', 'global'),
        world.address('client-1', 'global'),
        world.address('stone-a', 'global'),
      ];

      /** Runs the flood program on a host by hand, as nobody's console does. */
      async function expectRefused(host: string, address: string): Promise<void> {
        const flood = await world.hosts.run(host, '/opt/move/bin/node /opt/move/dist/agent.mjs flood', {
          input: `${JSON.stringify({ address, port: 80, seconds: 1, mbit: 20 })}\n`,
        });
        const [ready, outcome] = flood.stdout.trim().split('\n');
        expect(ready).toBe('{"ready":true}');
        expect([address, flood.code, JSON.parse(outcome ?? '').error?.code]).toEqual([
          address,
          3,
          'FLOOD_REFUSED',
        ]);
      }

      it('asked of the console, aimed at anything but a site of this lab', async () => {
        const sent = async () => {
          const { links } = await world.counters();
          return ['bot-1', 'bot-2', 'bot-3'].reduce(
            (sum, bot) => sum + (links[bot]?.global?.fromHostBytes ?? 0),
            0,
          );
        };
        const before = await sent();
        for (const target of outside()) {
          const head = await world.journalHead();
          await expect(world.client.call('flood.start', { target, seconds: 1 })).rejects.toMatchObject({
            code: 'FLOOD_REFUSED',
            message: expect.stringContaining('Drills send only inside namespaces that this lab made'),
          });
          await entry(head, 'flood.refused', 'A flood was refused');
        }
        expect((await sent()) - before).toBeLessThan(20_000);
        expect(world.state.floods).toEqual({});
      });

      it('asked of a bot directly, aimed at anything but a site of this lab', async () => {
        const said = await world.hosts.run(
          'bot-1',
          `nft 'table inet witness { counter seen { }; chain out { type filter hook output priority -300; meta l4proto udp counter name seen; }; }'`,
        );
        expect(said).toEqual({ code: 0, stdout: '', stderr: '' });
        for (const address of outside()) {
          const head = await world.journalHead();
          await expectRefused('bot-1', address);
          await entry(
            head,
            'flood.refused',
            'bot-1 refused to send to',
            `${address}:`,
            'This load is refused',
          );
        }
        const seen = await world.hosts.run('bot-1', 'nft list counter inet witness seen');
        expect(seen.stdout).toContain('packets 0 ');
      }, 40_000);

      it('asked of any other host, aimed at a site: only bots may', async () => {
        for (const host of ['client-2', 'a2', 'node-2']) {
          const head = await world.journalHead();
          await expectRefused(host, world.address('a1', 'primary'));
          await entry(head, 'flood.refused', `${host} refused to send to`, 'only a bot may');
        }
      }, 40_000);

      it('asked of a bot while no control plane runs: the next one tells of it, once', async () => {
        const before = (await world.journal()).filter(({ type }) => type === 'flood.refused').length;
        const head = await world.journalHead();
        await world.control.kill();
        await expectRefused('bot-2', '203.0.113.9');
        await expectRefused('bot-2', '203.0.113.9');
        await world.respawnControl().ready();
        await entry(head, 'flood.refused', 'bot-2 refused to send to 203.0.113.9');
        // The next refusal is told after everything that was noted before it, what was known already included.
        await expectRefused('bot-1', '203.0.113.10');
        await entry(head, 'flood.refused', 'bot-1 refused to send to 203.0.113.10');
        const after = (await world.journal()).filter(({ type }) => type === 'flood.refused').length;
        expect(after).toBe(before + 2);
        // What the dead control plane followed the notes with is gone.
        await until(
          'one program follows the notes',
          async () => (await world.hosts.run('bot-1', 'pgrep -c -x tail')).stdout.trim() === '1',
          10_000,
        );
      }, 60_000);
    });
  },
);
