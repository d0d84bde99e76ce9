import { z } from 'zod';
import type { Command } from '../command.ts';
import type { CommandContext } from '../command-context.ts';
import { type IdentityFiles, readBounded, readPemFiles } from '../identity-files.ts';
import type { ParsedArguments } from '../parsed-arguments.ts';
import type { ForwarderSettings } from '../rooms.ts';
import { passwordFileOption, readPassword } from '../secret-input.ts';
import { UsageError } from '../usage-error.ts';

const ways = ['overlay', 'auto', 'direct'] as const;

/** `move connect`: the client's forwarder, in the foreground until interrupted. */
export const connectCommand: Command = {
  path: ['connect'],
  summary: 'Runs the forwarder: local ways to services through the overlay. Prints one ready line.',
  options: {
    certificate: { type: 'text', value: 'FILE', docs: 'Your certificate, PEM. Needs --key.' },
    key: { type: 'text', value: 'FILE', docs: 'Its private key, PEM.' },
    pkcs12: { type: 'text', value: 'FILE', docs: 'Certificate and key in one PKCS#12 file instead.' },
    ...passwordFileOption,
    trust: { type: 'text', value: 'FILE', required: true, docs: "The authority's certificate, PEM." },
    'access-point': {
      type: 'text',
      value: 'HOST:PORT',
      repeatable: true,
      required: true,
      docs: 'Where to enter the overlay; more than one are tried in turn.',
    },
    http: {
      type: 'text',
      value: '127.0.0.1:PORT',
      docs: 'Serve an HTTP proxy here, and its auto-config file at /proxy.pac; port 0 takes a free one.',
    },
    socks: {
      type: 'text',
      value: '127.0.0.1:PORT',
      docs: 'Serve a SOCKS 5 proxy here, for names only (socks5h).',
    },
    forward: {
      type: 'text',
      value: 'PORT=SERVICE:PORT',
      repeatable: true,
      docs: "Carry a local port to a service's port.",
    },
    way: {
      type: 'text',
      value: 'overlay|auto|direct',
      docs: 'How services are reached: through the overlay (the default: only there do open connections survive a move), or directly while at home and answering there, and through the overlay otherwise (auto).',
    },
    state: {
      type: 'text',
      value: 'FILE',
      docs: 'Keep the signed list of access points here for the next start.',
    },
    renew: {
      type: 'flag',
      docs: 'Write a renewed certificate and its key back to the files they came from.',
    },
  },
  output: () => z.looseObject({ ready: z.literal(true) }),
  async run(context, parsed) {
    const settings = await readSettings(context, parsed);
    const forwarder = await context.rooms.startForwarder(settings);
    const tell = () => context.say(forwarder.status().line);
    process.on('SIGUSR1', tell);
    try {
      context.print({ ...forwarder.ready, ready: true });
      await new Promise<void>((resolve) => {
        if (context.signal.aborted) resolve();
        else context.signal.addEventListener('abort', () => resolve(), { once: true });
      });
    } finally {
      process.off('SIGUSR1', tell);
      await forwarder.close();
    }
    return 0;
  },
};

async function readSettings(context: CommandContext, parsed: ParsedArguments): Promise<ForwarderSettings> {
  const http = parsed.text('http');
  const socks = parsed.text('socks');
  const state = parsed.text('state');
  const settings: ForwarderSettings = {
    trustPem: readBounded('trust', parsed.needText('trust')).toString('utf8'),
    accessPoints: parsed.list('access-point').map((text) => readAddress('access-point', text)),
    forwards: parsed.list('forward').map(readForward),
    way: readWay(parsed.text('way')),
    log: context.say,
    ...(state === undefined ? {} : { stateFile: state }),
    ...(http === undefined ? {} : { httpProxy: readLoopback('http', http) }),
    ...(socks === undefined ? {} : { socksProxy: readLoopback('socks', socks) }),
  };
  if (!settings.httpProxy && !settings.socksProxy && settings.forwards.length === 0)
    throw new UsageError(
      'Say what to serve: --http 127.0.0.1:PORT, --socks 127.0.0.1:PORT, --forward PORT=SERVICE:PORT, or several of them.',
    );
  const files = await identityFiles(context, parsed);
  return {
    ...settings,
    ...('pkcs12' in files
      ? { pkcs12: readBounded('pkcs12', files.pkcs12), password: files.password }
      : readPemFiles(files)),
    ...(parsed.flag('renew') ? { renewed: files } : {}),
  };
}

/** Where the person's certificate and key are. */
async function identityFiles(context: CommandContext, parsed: ParsedArguments): Promise<IdentityFiles> {
  const pkcs12 = parsed.text('pkcs12');
  const certificate = parsed.text('certificate');
  const key = parsed.text('key');
  if (pkcs12 !== undefined) {
    if (certificate !== undefined || key !== undefined)
      throw new UsageError('Give either --pkcs12 or --certificate and --key.');
    // A file that cannot be read is found out before somebody types its password.
    readBounded('pkcs12', pkcs12);
    const password = await readPassword(context, parsed, `Password of ${pkcs12}: `);
    if (password === null)
      throw new UsageError('The PKCS#12 file needs its password: --password-file FILE or MOVE_PASSWORD.');
    return { pkcs12, password };
  }
  if (certificate === undefined || key === undefined)
    throw new UsageError('Say who you are: --certificate FILE and --key FILE, or --pkcs12 FILE.');
  return { certificate, key };
}

function readWay(text: string | undefined): (typeof ways)[number] {
  const way = ways.find((candidate) => candidate === (text ?? 'overlay'));
  if (way === undefined) throw new UsageError(`--way must be one of ${ways.join(', ')}, not "${text}".`);
  return way;
}

/** Reads a HOST:PORT; an IPv6 address stands in brackets. */
export function readAddress(option: string, text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port > 65_535)
    throw new UsageError(`--${option} must be HOST:PORT, not "${text}".`);
  return { host, port };
}

/** The local doors of a forwarder have no authentication of their own, so they open on loopback only. */
function readLoopback(option: string, text: string): { host: string; port: number } {
  const address = readAddress(option, text);
  if (address.host === 'localhost') return { ...address, host: '127.0.0.1' };
  if (!/^127\.\d+\.\d+\.\d+$/.test(address.host) && address.host !== '::1')
    throw new UsageError(
      `--${option} must be on this machine's loopback, such as 127.0.0.1:8080, not "${text}".`,
    );
  return address;
}

/** Reads PORT=SERVICE:PORT. */
export function readForward(text: string): { localPort: number; service: string; port: number } {
  const match = /^(\d{1,5})=([a-z0-9]([a-z0-9.-]*[a-z0-9])?):(\d{1,5})$/.exec(text);
  const [localPort, port] = [Number(match?.[1]), Number(match?.[4])];
  const service = match?.[2];
  if (service === undefined || localPort > 65_535 || port > 65_535 || port === 0)
    throw new UsageError(`--forward must be PORT=SERVICE:PORT such as 8080=shop.example:80, not "${text}".`);
  return { localPort, service, port };
}
