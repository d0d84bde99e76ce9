import { X509Certificate } from 'node:crypto';
import type { ForwarderEvent } from '../overlay/forwarder/forwarder-event.ts';
import { systemClock } from '../runtime/clock.ts';
import type { OwnPem } from './identity-files.ts';
import { readPkcs12 } from './read-pkcs12.ts';
import type { CliRooms, ForwarderSettings } from './rooms.ts';

/** The rooms themselves. Each is loaded by the first command that needs it, so that `move --help` is quick. */
export const loadedRooms: CliRooms = {
  async startControl(options) {
    const { startControl } = await import('../control/start-control.ts');
    return startControl({
      ...options,
      doctor: async () => ({ requirements: await loadedRooms.doctor() }),
    });
  },

  async lab() {
    const lab = await import('../lab/lab.ts');
    const { labExec } = await import('../lab/exec.ts');
    const { labStatusSchema } = await import('../lab/control-protocol.ts');
    const { z } = await import('zod');
    return {
      async start({ home, spec, signal }) {
        await lab.startLab({
          home,
          ...(spec === undefined ? {} : { spec }),
          ...(signal === undefined ? {} : { signal }),
        });
        return lab.labStatus({ home });
      },
      stop: ({ home }) => lab.stopLab({ home }),
      status: (home) => lab.labStatus({ home }),
      exec: ({ home, host, command, signal }) => labExec(host, command, { home, signal }),
      statusSchema: z.discriminatedUnion('running', [
        labStatusSchema,
        z.object({ running: z.literal(false) }),
      ]),
    };
  },

  async startForwarder(settings) {
    const { startForwarder } = await import('../overlay/forwarder/forwarder.ts');
    const { authorise } = await import('../credentials/authorise.ts');
    const { readIdentity } = await import('../credentials/identity.ts');
    const { renewed } = settings;
    const { certificatePem, keyPem } = ownPem(settings);
    const { DurableFile } = await import('../runtime/durable-file.ts');
    const { nodeListSchema } = await import('../contract/node-list.ts');
    const { replaceIdentityFiles } = await import('./identity-files.ts');
    const trust = certificatesOf(settings.trustPem);
    const { services } = readIdentity(new X509Certificate(certificatePem));
    const forwarder = await startForwarder({
      identity: { certificatePem, keyPem, trustPem: [settings.trustPem] },
      readIdentity,
      way: settings.way,
      authorise: (certificate) => authorise(certificate, { trust, revoked: new Set(), clock: systemClock }),
      services,
      accessPoints: settings.accessPoints.map(({ host, port }) =>
        host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
      ),
      ...(settings.httpProxy ? { httpProxy: settings.httpProxy } : {}),
      ...(settings.socksProxy ? { socksProxy: settings.socksProxy } : {}),
      forwards: settings.forwards,
      ...(settings.stateFile === undefined
        ? {}
        : { nodeListFile: new DurableFile(settings.stateFile, nodeListSchema.nullable()) }),
      ...(renewed === undefined
        ? {}
        : {
            saveIdentity: (identity) =>
              replaceIdentityFiles(renewed, { ...identity, authorityPem: settings.trustPem }),
          }),
      events: (event) => settings.log(sentenceOf(event)),
    });
    return {
      ready: { ...forwarder.ready },
      status: () => forwarder.status(),
      close: () => forwarder.close(),
    };
  },

  async doctor() {
    const { runDoctor } = await import('./doctor/doctor.ts');
    return (await runDoctor()).requirements;
  },

  async drillReportSchema() {
    return (await import('../drills/drill-report.ts')).drillReportSchema;
  },
};

function ownPem(settings: ForwarderSettings): OwnPem {
  if (settings.pkcs12 !== undefined) return readPkcs12(settings.pkcs12, settings.password ?? '');
  return { certificatePem: settings.certificatePem ?? '', keyPem: settings.keyPem ?? '' };
}

function certificatesOf(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

function sentenceOf(event: ForwarderEvent): string {
  switch (event.type) {
    case 'connecting':
      return `Connecting to the access point at ${event.address}.`;
    case 'connected':
      return `Connected to the access point ${event.accessPoint} at ${event.address}.`;
    case 'lost':
      return `The access point at ${event.address} was lost: ${event.message}`;
    case 'silent':
      return `The access point ${event.accessPoint} at ${event.address} does not answer any more.`;
    case 'standby':
      return `The access point ${event.accessPoint} at ${event.address} stands by.`;
    case 'way':
      return event.way === 'direct'
        ? `${event.service} is used directly, because ${event.why}.`
        : `${event.service} is used through the overlay, because ${event.why}.`;
    case 'nodes':
      return `The signed list of access points has version ${event.version} now, with ${event.count} nodes.`;
    case 'list-refused':
      return `The signed list of access points: ${event.message}`;
    case 'renewed':
      return `Your certificate was renewed, until ${new Date(event.notAfter).toISOString()}.`;
    case 'not-renewed':
      return `Your certificate could not be renewed: ${event.message}`;
    case 'refused':
      return `A connection to ${event.service} was refused: ${event.message}`;
  }
}
