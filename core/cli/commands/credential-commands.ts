import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { z } from 'zod';
import { requestCommand } from '../../contract/request-command.ts';
import type { Command, OptionSpec } from '../command.ts';
import { checkInput, contractCommand } from '../contract-command.ts';
import { withControl } from '../control-link.ts';
import { readBounded } from '../identity-files.ts';
import { passwordFileOption, readPassword } from '../secret-input.ts';
import { UsageError } from '../usage-error.ts';
import { fileNameOf, prepareFiles, replaceFile, writeFiles } from './credential-files.ts';

const outOption: OptionSpec = {
  type: 'text',
  value: 'DIR',
  required: true,
  docs: 'The directory that the files are written to; it is made if absent.',
};

const issue = {
  path: ['credential', 'issue'],
  summary: "Issues a client's certificate as PKCS#12 and PEM files.",
  options: {
    name: { type: 'text', required: true, docs: 'The person or machine that will hold it.' },
    service: {
      type: 'text',
      repeatable: true,
      required: true,
      docs: 'A service that it may reach; "any" for all.',
    },
    days: { type: 'number', required: true, docs: 'How long it is valid, in days.' },
    renewals: {
      type: 'number',
      docs: 'How often its holder may renew it, each time for as long again; 12 unless said, 0 for never.',
    },
    out: outOption,
    ...passwordFileOption,
  },
  output: () =>
    z.object({
      serial: z.string(),
      name: z.string(),
      services: z.union([z.array(z.string()), z.literal('any')]),
      notAfter: z.number().describe('milliseconds since the epoch'),
      pkcs12: z.string().describe('path of the PKCS#12 file'),
      certificate: z.string().describe('path of the certificate, PEM'),
      key: z.string().describe('path of the private key, PEM, readable by its owner alone'),
      trust: z.string().describe("path of the authority's certificate, PEM"),
      passwordFile: z.string().nullable().describe('path of the password, where one was made up'),
    }),
  async run(context, parsed) {
    const name = parsed.needText('name');
    const services = parsed.list('service');
    if (services.includes('any') && services.length > 1)
      throw new UsageError('--service any stands for all services and goes with no other.');
    const base = path.resolve(parsed.needText('out'), fileNameOf(name));
    const files = {
      pkcs12: `${base}.p12`,
      certificate: `${base}.pem`,
      key: `${base}.key.pem`,
      trust: path.join(path.dirname(base), 'trust.pem'),
    };
    const given = await readPassword(context, parsed, `Password for ${path.basename(files.pkcs12)}: `);
    const password = given ?? randomBytes(15).toString('base64url');
    const passwordFile = given === null ? `${base}.password` : null;
    const input = checkInput('credential.issue', {
      name,
      services: services.includes('any') ? 'any' : services,
      days: parsed.number('days'),
      password,
      ...(parsed.number('renewals') === undefined ? {} : { renewals: parsed.number('renewals') }),
    });
    const own = [files.pkcs12, files.certificate, files.key, ...(passwordFile ? [passwordFile] : [])];
    prepareFiles(path.dirname(base), own);
    return withControl(context, async (link) => {
      const issued = await link.call('credential.issue', input);
      writeFiles([
        { path: files.key, content: issued.keyPem, mode: 0o600 },
        { path: files.pkcs12, content: Buffer.from(issued.pkcs12Base64, 'base64'), mode: 0o600 },
        { path: files.certificate, content: issued.certificatePem, mode: 0o644 },
        ...(passwordFile ? [{ path: passwordFile, content: `${password}\n`, mode: 0o600 }] : []),
      ]);
      replaceFile(files.trust, issued.trustPem);
      context.print({
        serial: issued.credential.id,
        name: issued.credential.name,
        services: issued.credential.services,
        notAfter: issued.credential.notAfter,
        ...files,
        passwordFile,
      });
      return 0;
    });
  },
} satisfies Command;

const sign: Command = {
  path: ['credential', 'sign'],
  summary: `Signs a certificate request, so that the key never leaves who made it. They run: ${requestCommand('NAME', 'FILE')}`,
  options: {
    request: { type: 'text', value: 'FILE', required: true, docs: 'The certificate request, PEM.' },
    name: { type: 'text', required: true, docs: 'Who made it; the request must say the same.' },
    service: issue.options.service,
    days: issue.options.days,
    out: outOption,
  },
  output: () =>
    z.object({
      serial: z.string(),
      name: z.string(),
      services: z.union([z.array(z.string()), z.literal('any')]),
      notAfter: z.number().describe('milliseconds since the epoch'),
      certificate: z.string().describe('path of the certificate, PEM'),
      trust: z.string().describe("path of the authority's certificate, PEM"),
    }),
  async run(context, parsed) {
    const name = parsed.needText('name');
    const services = parsed.list('service');
    const base = path.resolve(parsed.needText('out'), fileNameOf(name));
    const files = { certificate: `${base}.pem`, trust: path.join(path.dirname(base), 'trust.pem') };
    const input = checkInput('credential.sign', {
      name,
      services: services.includes('any') ? 'any' : services,
      days: parsed.number('days'),
      requestPem: readBounded('request', parsed.needText('request')).toString('utf8'),
    });
    prepareFiles(path.dirname(base), [files.certificate]);
    return withControl(context, async (link) => {
      const { credential, certificatePem, trustPem } = await link.call('credential.sign', input);
      writeFiles([{ path: files.certificate, content: certificatePem, mode: 0o644 }]);
      replaceFile(files.trust, trustPem);
      const { id: serial, name: granted, notAfter } = credential;
      context.print({ serial, name: granted, services: credential.services, notAfter, ...files });
      return 0;
    });
  },
};

const trust: Command = {
  path: ['credential', 'trust'],
  summary: "Writes the authority's certificate and its revocation list.",
  options: { out: outOption },
  output: () => z.object({ trust: z.string(), revocationList: z.string() }),
  async run(context, parsed) {
    const directory = path.resolve(parsed.needText('out'));
    prepareFiles(directory, []);
    return withControl(context, async (link) => {
      const exported = await link.call('credential.trust', {});
      const files = {
        trust: path.join(directory, 'trust.pem'),
        revocationList: path.join(directory, 'revocation-list.pem'),
      };
      replaceFile(files.trust, exported.trustPem);
      replaceFile(files.revocationList, exported.revocationListPem);
      context.print(files);
      return 0;
    });
  },
};

export const credentialCommands: readonly Command[] = [
  issue,
  sign,
  contractCommand({ path: ['credential', 'list'], method: 'credential.list' }),
  contractCommand({
    path: ['credential', 'revoke'],
    method: 'credential.revoke',
    positionals: ['serial'],
    // Other programs print serial numbers in capitals and with colons.
    spelling: { serial: (typed) => typed.replaceAll(':', '').toLowerCase() },
  }),
  trust,
];
