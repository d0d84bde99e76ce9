import type { X509Certificate } from 'node:crypto';
import { constants } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { Server, TLSSocket } from 'node:tls';
import { createServer, connect as tlsConnect } from 'node:tls';
import type { Clock } from '../clock.ts';
import { systemClock } from '../clock.ts';
import { MoveError, toMoveError } from '../errors.ts';
import { errorFrame, peerError } from './error-body.ts';
import { frameHeaderBytes, frameType, jsonFrame, parseJsonBody } from './frames.ts';
import type { LinkHandlers, LinkLimits, VerifyPeer } from './link.ts';
import { defaultLimits, Link } from './link.ts';

/** What an end shows and whom it trusts, all in PEM. The certificate may be followed by its chain. */
export interface LinkIdentity {
  certificatePem: string;
  keyPem: string;
  trustPem: readonly string[];
}

export interface LinkOptions {
  /** Judges the peer's certificate, whose signature and dates are already proven; throws a MoveError. */
  verifyPeer: VerifyPeer;
  handlers?: LinkHandlers;
  limits?: Partial<LinkLimits>;
  clock?: Clock;
}

export type LinkTransport = { host: string; port: number; localAddress?: string } | Duplex;

export interface ConnectOptions extends LinkOptions {
  transport: LinkTransport;
  identity: LinkIdentity;
  /** Milliseconds for connecting, both handshakes included. */
  deadlineMs: number;
  signal?: AbortSignal;
}

export interface AcceptOptions extends LinkOptions {
  identity: LinkIdentity;
  deadlineMs: number;
}

const protocolName = 'move-link/1';
const protocolVersion = 1;
const maxGreetingBytes = 8192;
const minWindowBytes = 16_384;
const maxWindowBytes = 64 << 20;

const tlsSettings = (identity: LinkIdentity) => ({
  key: identity.keyPem,
  cert: identity.certificatePem,
  ca: [...identity.trustPem],
  minVersion: 'TLSv1.3' as const,
  maxVersion: 'TLSv1.3' as const,
  ciphers: 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256',
  ALPNProtocols: [protocolName],
  // Both ends judge the other themselves, so that a refusal can say why before it hangs up.
  rejectUnauthorized: false,
});

/** Of the accepting end. It resumes nothing: that would not prove the certificate's issuer and dates again. */
const serverSettings = (identity: LinkIdentity) => ({
  ...tlsSettings(identity),
  secureOptions: constants.SSL_OP_NO_TICKET,
});

/** A TLS server for links. It hands out sockets whose peers are *not* yet judged: see establishLink. */
export function linkTlsServer(identity: LinkIdentity, handshakeDeadlineMs: number): Server {
  return createServer({
    ...serverSettings(identity),
    requestCert: true,
    handshakeTimeout: handshakeDeadlineMs,
    noDelay: true,
  });
}

/** The settings a running server takes over when its certificate was renewed. */
export const renewedSettings = serverSettings;

/** An IPv4 address that came in over an IPv6 socket, as IPv4. */
export const plainAddress = (address: string | undefined): string | undefined =>
  address?.replace(/^::ffff:(?=\d+\.)/i, '');

function judge(socket: TLSSocket, options: LinkOptions): X509Certificate {
  if (socket.getProtocol() !== 'TLSv1.3' || socket.alpnProtocol !== protocolName) {
    throw new MoveError('LINK_HANDSHAKE', 'The other end does not speak the link protocol.');
  }
  const certificate = socket.getPeerX509Certificate();
  if (!certificate) {
    throw new MoveError(
      'CERTIFICATE_MISSING',
      'A client certificate is required; ask your administrator for one.',
    );
  }
  if (!socket.authorized) {
    const reason = String(socket.authorizationError);
    const details = { reason, serial: certificate.serialNumber.toLowerCase() };
    if (reason.includes('EXPIRED')) {
      throw new MoveError(
        'CERTIFICATE_EXPIRED',
        'The certificate has expired; ask your administrator for a new one.',
        details,
      );
    }
    if (reason.includes('NOT_YET_VALID')) {
      throw new MoveError(
        'CERTIFICATE_NOT_YET_VALID',
        'The certificate is not valid yet; check the clocks.',
        details,
      );
    }
    throw new MoveError('CERTIFICATE_FOREIGN', 'The certificate was not issued by this authority.', details);
  }
  options.verifyPeer(certificate, { remoteAddress: plainAddress(socket.remoteAddress) });
  return certificate;
}

/** What a socket that never became a link told about itself, for the journal. */
export interface RefusedPeer {
  remoteAddress: string | undefined;
  certificate: X509Certificate | undefined;
}

/**
 * Judges the peer of a finished TLS handshake, exchanges HELLOs and makes the link. Nothing of the peer's is
 * acted on before it is judged; one that fails gets a GOODBYE with the reason and is cut.
 * @throws MoveError of `verifyPeer`; the peer's own objection; `CERTIFICATE_MISSING`, `CERTIFICATE_EXPIRED`,
 * `CERTIFICATE_NOT_YET_VALID`, `CERTIFICATE_FOREIGN`; `LINK_HANDSHAKE`.
 */
export function establishLink(
  socket: TLSSocket,
  side: 'client' | 'server',
  options: LinkOptions,
  deadline: { ms: number; signal?: AbortSignal },
): Promise<Link> {
  const limits: LinkLimits = { ...defaultLimits, ...options.limits };
  const clock = options.clock ?? systemClock;
  const remoteAddress = plainAddress(socket.remoteAddress);
  return new Promise((resolve, reject) => {
    let certificate: X509Certificate;
    let settled = false;
    const settle = () => {
      settled = true;
      cancelTimer();
      deadline.signal?.removeEventListener('abort', onAbort);
      socket.off('data', onData);
      for (const event of ['error', 'close', 'end']) socket.off(event, broken);
    };
    const fail = (error: MoveError, goodbye: boolean) => {
      if (settled) return;
      settle();
      socket.on('error', () => undefined);
      if (goodbye) {
        socket.resume();
        socket.end(errorFrame(frameType.goodbye, 0, error));
        clock.after(1000, () => socket.destroy());
      } else {
        socket.destroy();
      }
      reject(error);
    };
    const onAbort = () => fail(new MoveError('CANCELLED', 'Connecting was cancelled.'), false);
    const cancelTimer = clock.after(deadline.ms, () =>
      fail(new MoveError('DEADLINE_EXCEEDED', `The link was not ready within ${deadline.ms} ms.`), false),
    );
    const broken = (cause?: Error) =>
      fail(
        new MoveError('LINK_HANDSHAKE', 'The other end hung up while the link was being made.', {}, cause),
        false,
      );
    const onGreeting = (type: number, message: unknown) => {
      if (settled) return;
      if (type === frameType.goodbye) {
        fail(peerError(message, 'LINK_REFUSED'), false);
        return;
      }
      if (type !== frameType.hello) throw new MoveError('LINK_PROTOCOL', 'The peer did not greet first.');
      const { version, windowBytes } = Object(message) as { version?: unknown; windowBytes?: unknown };
      if (
        version !== protocolVersion ||
        typeof windowBytes !== 'number' ||
        !Number.isInteger(windowBytes) ||
        windowBytes < minWindowBytes ||
        windowBytes > maxWindowBytes
      ) {
        throw new MoveError(
          'LINK_PROTOCOL',
          'The peer speaks another version of the link protocol; update both ends.',
        );
      }
      settle();
      const link = new Link({
        socket,
        side,
        peerCertificate: certificate,
        remoteAddress,
        peerWindowBytes: windowBytes,
        handlers: options.handlers ?? {},
        limits,
        clock,
        verifyPeer: options.verifyPeer,
      });
      resolve(link);
    };
    let received: Buffer = Buffer.alloc(0);
    const onData = (chunk: Buffer) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      if (received.length < frameHeaderBytes) return;
      const greetingBytes = frameHeaderBytes + received.readUIntBE(1, 3);
      try {
        if (greetingBytes > maxGreetingBytes)
          throw new MoveError('LINK_PROTOCOL', 'The peer did not greet first.');
        if (received.length < greetingBytes) return;
        const rest = received.subarray(greetingBytes);
        if (rest.length > 0) {
          // What follows the greeting belongs to the link, once its owner has had the time to take it.
          socket.pause();
          socket.unshift(rest);
          setImmediate(() => socket.resume());
        }
        onGreeting(received[0]!, parseJsonBody(received.subarray(frameHeaderBytes, greetingBytes)));
      } catch (thrown) {
        fail(toMoveError(thrown), true);
      }
    };
    try {
      certificate = judge(socket, options);
    } catch (thrown) {
      fail(toMoveError(thrown), true);
      return;
    }
    socket.on('data', onData);
    for (const event of ['error', 'close', 'end']) socket.on(event, broken);
    deadline.signal?.addEventListener('abort', onAbort, { once: true });
    if (deadline.signal?.aborted) onAbort();
    else
      socket.write(
        jsonFrame(frameType.hello, 0, { version: protocolVersion, windowBytes: limits.windowBytes }),
      );
  });
}

/** Makes a link as the connecting end. @throws as {@link establishLink}, and `LINK_UNREACHABLE`. */
export async function connectLink(options: ConnectOptions): Promise<Link> {
  const clock = options.clock ?? systemClock;
  const { transport } = options;
  const begun = clock.monotonic();
  const target = 'port' in transport ? `${transport.host}:${transport.port}` : undefined;
  const socket = tlsConnect({
    ...tlsSettings(options.identity),
    ...('port' in transport ? transport : { socket: transport }),
    servername: '',
    checkServerIdentity: () => undefined,
  });
  socket.setNoDelay(true);
  await new Promise<void>((resolve, reject) => {
    const settle = () => {
      cancelTimer();
      options.signal?.removeEventListener('abort', onAbort);
      socket.off('secureConnect', onSecure);
      socket.off('error', onError);
      socket.off('close', onError);
    };
    const fail = (error: MoveError) => {
      settle();
      socket.on('error', () => undefined);
      socket.destroy();
      reject(error);
    };
    const onAbort = () => fail(new MoveError('CANCELLED', 'Connecting was cancelled.'));
    const onSecure = () => {
      settle();
      resolve();
    };
    const onError = (cause?: Error) =>
      fail(
        new MoveError(
          'LINK_UNREACHABLE',
          `No link could be made${target ? ` to ${target}` : ''}: ${cause instanceof Error ? cause.message : 'the other end hung up'}.`,
          target ? { target } : {},
          cause,
        ),
      );
    const cancelTimer = clock.after(options.deadlineMs, () =>
      fail(
        new MoveError(
          'DEADLINE_EXCEEDED',
          `No link${target ? ` to ${target}` : ''} within ${options.deadlineMs} ms.`,
        ),
      ),
    );
    socket.on('secureConnect', onSecure);
    socket.on('error', onError);
    socket.on('close', onError);
    options.signal?.addEventListener('abort', onAbort, { once: true });
    if (options.signal?.aborted) onAbort();
  });
  const left = Math.max(1, options.deadlineMs - (clock.monotonic() - begun));
  return establishLink(socket, 'client', options, {
    ms: left,
    ...(options.signal ? { signal: options.signal } : {}),
  });
}

/** Makes a link as the accepting end over any Duplex. @throws as {@link establishLink}. */
export async function acceptLink(duplex: Duplex, options: AcceptOptions): Promise<Link> {
  const server = linkTlsServer(options.identity, options.deadlineMs);
  const socket = await new Promise<TLSSocket>((resolve, reject) => {
    server.once('secureConnection', resolve);
    server.once('tlsClientError', (cause) => {
      duplex.destroy();
      reject(new MoveError('LINK_HANDSHAKE', `The TLS handshake failed: ${cause.message}.`, {}, cause));
    });
    server.emit('connection', duplex);
  });
  return establishLink(socket, 'server', options, { ms: options.deadlineMs });
}
