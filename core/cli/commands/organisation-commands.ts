import path from 'node:path';
import { z } from 'zod';
import { adoptAuthority, attachOverlay, requestAuthority } from '../../control/organisation-authority.ts';
import type { Command } from '../command.ts';
import { checkInput, contractCommand } from '../contract-command.ts';
import { withControl } from '../control-link.ts';
import { readBounded } from '../identity-files.ts';
import { fileNameOf, prepareFiles, replaceFile, writeFiles } from './credential-files.ts';

const admit: Command = {
  path: ['organisation', 'admit'],
  summary:
    'Lets another organisation share the overlay: signs the authority that it asks for, for its services and sites alone.',
  options: {
    request: { type: 'text', value: 'FILE', required: true, docs: 'The request of its authority, PEM.' },
    name: { type: 'text', required: true, docs: 'The organisation; the request must say the same.' },
    service: {
      type: 'text',
      repeatable: true,
      required: true,
      docs: 'A service that it may run and move; nobody else may.',
    },
    site: {
      type: 'text',
      repeatable: true,
      required: true,
      docs: 'A machine that it may run them on; nobody else may.',
    },
    'ssh-key': {
      type: 'text',
      value: 'FILE',
      docs: 'Its public key for SSH, which "organisation request" wrote: sites that are driven from here are given to it.',
    },
    days: { type: 'number', docs: 'How long it is admitted, in days; 365 unless said.' },
    out: {
      type: 'text',
      value: 'DIR',
      required: true,
      docs: 'The directory that the files are written to; it is made if absent.',
    },
  },
  output: () =>
    z.object({
      serial: z.string().describe('what "move credential revoke" ends it by'),
      name: z.string(),
      services: z.union([z.array(z.string()), z.literal('any')]),
      sites: z.array(z.string()),
      notAfter: z.number().describe('milliseconds since the epoch'),
      nodesTold: z.number().describe('overlay nodes that know of it'),
      certificate: z.string().describe("path of its authority's certificate, PEM"),
      trust: z.string().describe("path of the operator's certificate, PEM"),
      given: z.array(z.string()).describe('sites that were driven from here and are its own now'),
      share: z
        .string()
        .nullable()
        .describe('path of what "organisation attach" takes; null without its key for SSH'),
    }),
  async run(context, parsed) {
    const name = parsed.needText('name');
    const base = path.resolve(parsed.needText('out'), fileNameOf(name));
    const files = { certificate: `${base}.pem`, trust: path.join(path.dirname(base), 'trust.pem') };
    const key = parsed.text('ssh-key');
    const days = parsed.number('days');
    const input = checkInput('organisation.admit', {
      name,
      services: parsed.list('service'),
      sites: parsed.list('site'),
      ...(days === undefined ? {} : { days }),
      requestPem: readBounded('request', parsed.needText('request')).toString('utf8'),
      ...(key === undefined ? {} : { sshKey: readBounded('ssh-key', key).toString('utf8').trim() }),
    });
    prepareFiles(path.dirname(base), [files.certificate]);
    return withControl(context, async (link) => {
      const admitted = await link.call('organisation.admit', input);
      writeFiles([{ path: files.certificate, content: admitted.certificatePem, mode: 0o644 }]);
      replaceFile(files.trust, admitted.trustPem);
      const { id: serial, name: granted, services, notAfter } = admitted.credential;
      const { sites, nodesTold, given } = admitted;
      const share = admitted.share ? `${base}.share.json` : null;
      if (share) replaceFile(share, `${JSON.stringify(admitted.share, null, 2)}\n`);
      context.print({ serial, name: granted, services, sites, notAfter, nodesTold, ...files, given, share });
      return 0;
    });
  },
};

const request: Command = {
  path: ['organisation', 'request'],
  summary:
    'Makes the authority of an organisation in this home, and the request that the operator of the overlay signs.',
  options: {
    name: { type: 'text', required: true, docs: 'The organisation.' },
    out: { type: 'text', value: 'FILE', required: true, docs: 'Where the request is written to, PEM.' },
  },
  output: () =>
    z.object({
      name: z.string(),
      request: z.string().describe('path of the request, PEM'),
      sshKey: z.string().describe('path of the public key by which its control plane will reach its sites'),
    }),
  async run(context, parsed) {
    const name = parsed.needText('name');
    const file = path.resolve(parsed.needText('out'));
    const { requestPem, sshKey } = await requestAuthority(context.home, name);
    replaceFile(file, requestPem);
    replaceFile(`${file}.ssh.pub`, sshKey);
    context.print({ name, request: file, sshKey: `${file}.ssh.pub` });
    return 0;
  },
};

const adopt: Command = {
  path: ['organisation', 'adopt'],
  summary:
    "Takes the certificate that the operator signed: this home's authority is the organisation's from now on.",
  options: {
    certificate: {
      type: 'text',
      value: 'FILE',
      required: true,
      docs: 'What "organisation admit" wrote, PEM.',
    },
    trust: { type: 'text', value: 'FILE', required: true, docs: "The operator's certificate, PEM." },
  },
  output: () => z.object({ adopted: z.literal(true) }),
  async run(context, parsed) {
    const read = (option: string) => readBounded(option, parsed.needText(option)).toString('utf8');
    await adoptAuthority(context.home, read('certificate'), read('trust'));
    context.print({ adopted: true });
    return 0;
  },
};

const attach: Command = {
  path: ['organisation', 'attach'],
  summary:
    "Takes up the part of an overlay that its operator shares: this home's control plane drives its own sites there.",
  options: {
    share: { type: 'text', value: 'FILE', required: true, docs: 'What "organisation admit" wrote, JSON.' },
  },
  output: () => z.object({ overlay: z.string(), sites: z.array(z.string()) }),
  async run(context, parsed) {
    const text = readBounded('share', parsed.needText('share')).toString('utf8');
    context.print(await attachOverlay(context.home, text));
    return 0;
  },
};

/** What the operator of an overlay does for organisations that share it, and what these do in their own homes. */
export const organisationCommands: readonly Command[] = [
  request,
  adopt,
  attach,
  admit,
  contractCommand({ path: ['organisation', 'list'], method: 'organisation.list' }),
];
