import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { Clock } from '../clock.ts';
import { MoveError, toMoveError } from '../errors.ts';
import { errorFrame, peerError } from './error-body.ts';
import {
  FrameReader,
  frameHeader,
  frameHeaderBytes,
  frameType,
  jsonFrame,
  maxDataBytes,
  parseJsonBody,
  writeFrameHeader,
} from './frames.ts';
import { LinkCalls } from './link-calls.ts';
import { LinkPulse } from './link-pulse.ts';
import type { StreamCarrier } from './link-stream.ts';
import { LinkStream } from './link-stream.ts';

/** A stream that the peer asks for. Reading `stream` is allowed at once; writing to it accepts it. */
export interface IncomingStream {
  header: unknown;
  stream: LinkStream;
  accept(): LinkStream;
  refuse(error: MoveError): void;
}

export interface LinkHandlers {
  onStream?: (incoming: IncomingStream, link: Link) => void;
  /** Answers a call; a throw travels back as its error. */
  onCall?: (method: string, params: unknown, link: Link) => unknown;
  onNotify?: (method: string, params: unknown, link: Link) => void;
}

export interface LinkLimits {
  /** Streams that the peer may have open at once. */
  maxStreams: number;
  /** Bytes that each stream may hold unread on this side. */
  windowBytes: number;
  pingMs: number;
  /** Pings in a row without a sign of life after which the link counts as dead. */
  missedPings: number;
  /** Calls of the peer that may be under way at once. */
  maxCalls: number;
}

export const defaultLimits: LinkLimits = {
  maxStreams: 1024,
  windowBytes: 262_144,
  pingMs: 1000,
  missedPings: 4,
  maxCalls: 256,
};

/** Judges a peer's certificate, used from `remoteAddress` where the transport knows it; throws a MoveError. */
export type VerifyPeer = (certificate: X509Certificate, peer: { remoteAddress: string | undefined }) => void;

export interface LinkParts {
  socket: TLSSocket;
  side: 'client' | 'server';
  peerCertificate: X509Certificate;
  remoteAddress: string | undefined;
  peerWindowBytes: number;
  handlers: LinkHandlers;
  limits: LinkLimits;
  clock: Clock;
  verifyPeer: VerifyPeer;
}

export interface OpenOptions {
  signal?: AbortSignal;
  deadlineMs: number;
}

/** Bytes that leave in one write at most; the next write waits until the socket has taken them. */
const batchBytes = 131_072;
/** Replies a peer may provoke without reading them; also in number, because the shortest cost a hundred bytes as well. */
const overloadBytes = 4 << 20;
const overloadMessages = 16_384;
const closeGraceMs = 1000;

/**
 * Where a batch is put together. One for all links: a TLS socket that is not writing already has encrypted what it
 * is given when `write` returns.
 */
const scratch = Buffer.allocUnsafeSlow(batchBytes);

/**
 * A mutually authenticated connection that carries many streams, calls and notices. Streams share it fairly:
 * each sends one frame of at most 16 KiB in turn. Small messages go ahead of stream data.
 */
export class Link {
  readonly peerCertificate: X509Certificate;
  readonly remoteAddress: string | undefined;
  readonly side: 'client' | 'server';
  /** Resolves once, with the reason, or with undefined after a close without one. */
  readonly closed: Promise<MoveError | undefined>;
  handlers: LinkHandlers;

  readonly #socket: TLSSocket;
  readonly #limits: LinkLimits;
  readonly #clock: Clock;
  readonly #verifyPeer: VerifyPeer;
  readonly #peerWindowBytes: number;
  readonly #carrier: StreamCarrier;
  readonly #reader: FrameReader;
  readonly #calls: LinkCalls;
  readonly #pulse: LinkPulse;
  readonly #streams = new Map<number, LinkStream>();
  readonly #unanswered = new Set<LinkStream>();
  readonly #ready = new Set<LinkStream>();
  readonly #resolveClosed: (error: MoveError | undefined) => void;
  #ownStreams = 0;
  #nextId: number;
  #highestPeerId = 0;
  /** Frames other than DATA and END that wait for the next write. */
  #messages: Buffer[] = [];
  #messageBytes = 0;
  #flushScheduled = false;
  #bulkScheduled = false;
  #writing = false;
  // Made once: they are called for every message.
  readonly #flushNow = () => this.#flush();
  readonly #flushBulk = () => {
    this.#bulkScheduled = false;
    this.#flush();
  };
  readonly #written = () => {
    this.#writing = false;
    if (this.#messages.length > 0 || this.#ready.size > 0) this.#flush();
  };
  #heard = 0;
  #sent = 0;
  #state: 'open' | 'closing' | 'closed' = 'open';

  constructor(parts: LinkParts) {
    this.peerCertificate = parts.peerCertificate;
    this.remoteAddress = parts.remoteAddress;
    this.side = parts.side;
    this.handlers = parts.handlers;
    this.#socket = parts.socket;
    this.#limits = parts.limits;
    this.#clock = parts.clock;
    this.#verifyPeer = parts.verifyPeer;
    this.#peerWindowBytes = parts.peerWindowBytes;
    this.#nextId = parts.side === 'client' ? 1 : 2;
    const closed = Promise.withResolvers<MoveError | undefined>();
    this.closed = closed.promise;
    this.#resolveClosed = closed.resolve;
    this.#carrier = {
      wantsToSend: (stream) => this.#wantsToSend(stream),
      grant: (stream, bytes) => this.#grant(stream, bytes),
      finished: (stream, reset) => this.#finished(stream, reset),
    };
    this.#calls = new LinkCalls({
      send: (frame) => this.#send(frame),
      handler: () => {
        const answer = this.handlers.onCall;
        return answer && ((method, params) => answer(method, params, this));
      },
      maxCalls: parts.limits.maxCalls,
      clock: parts.clock,
    });
    this.#reader = new FrameReader({
      onData: (id, part) => this.#onData(id, part),
      onFrame: (type, id, body) => this.#onFrame(type, id, body),
    });
    this.#pulse = new LinkPulse({
      clock: parts.clock,
      intervalMs: parts.limits.pingMs,
      missedLimit: parts.limits.missedPings,
      ping: (token) => this.#send(frameHeader(frameType.ping, token, 0)),
      dead: () =>
        this.#fail(new MoveError('LINK_DEAD', 'The other end of a link stopped answering.', this.#where())),
      beat: () => this.#checkDates(),
    });
    this.#socket.on('data', (chunk: Buffer) => this.#onChunk(chunk));
    this.#socket.on('error', (cause: Error) =>
      this.#fail(new MoveError('LINK_BROKEN', `A link broke: ${cause.message}.`, this.#where(), cause)),
    );
    this.#socket.on('end', () =>
      this.#fail(new MoveError('LINK_BROKEN', 'The other end hung up.', this.#where())),
    );
    this.#socket.on('close', () =>
      this.#fail(new MoveError('LINK_BROKEN', 'A link was cut.', this.#where())),
    );
    this.#pulse.start();
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** The round trip of the last answered ping in milliseconds; undefined before the first. */
  get rttMs(): number | undefined {
    return this.#pulse.rttMs;
  }

  /** Streams open now, both ends' together. */
  get streamCount(): number {
    return this.#streams.size;
  }

  /** How often something was heard of the peer so far: silence is when it does not rise. */
  get heard(): number {
    return this.#heard;
  }

  /** How often something was sent on streams so far, which the peer would answer or at least acknowledge. */
  get sent(): number {
    return this.#sent;
  }

  /** Measures a round trip now, in milliseconds. @throws MoveError `LINK_CLOSED`, `DEADLINE_EXCEEDED`. */
  async roundTrip(deadlineMs: number): Promise<number> {
    this.#mustBeOpen();
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const forget = this.#pulse.onMeasured(resolve);
    const cancel = this.#clock.after(deadlineMs, () =>
      reject(
        new MoveError(
          'DEADLINE_EXCEEDED',
          `The peer has not answered within ${deadlineMs} ms.`,
          this.#where(),
        ),
      ),
    );
    this.#pulse.ping();
    try {
      return await promise;
    } finally {
      cancel();
      forget();
    }
  }

  /** Asks the peer for a sign of life, beside the link's own pulse. */
  ping(): void {
    if (this.#state === 'open') this.#pulse.ping();
  }

  /**
   * Opens a stream and lets bytes flow before the peer has accepted it: `accepted` tells what became of it,
   * and a refusal destroys the stream with the peer's error. @throws MoveError `LINK_CLOSED`.
   */
  openStreamNow(header: unknown): LinkStream {
    this.#mustBeOpen();
    const frame = jsonFrame(frameType.open, this.#nextId, header);
    const stream = new LinkStream(this.#carrier, this.#nextId, header, {
      send: this.#peerWindowBytes,
      receive: this.#limits.windowBytes,
    });
    this.#nextId += 2;
    this.#ownStreams += 1;
    this.#streams.set(stream.id, stream);
    this.#sent += 1;
    this.#send(frame);
    return stream;
  }

  /**
   * Opens a stream and waits until the peer accepts it.
   * @throws MoveError the peer's own when it refuses; `DEADLINE_EXCEEDED`, `CANCELLED`, `LINK_CLOSED`.
   */
  async openStream(header: unknown, options: OpenOptions): Promise<LinkStream> {
    const stream = this.openStreamNow(header);
    const cancelTimer = this.#clock.after(options.deadlineMs, () =>
      stream.reset(
        new MoveError('DEADLINE_EXCEEDED', `No answer to a stream within ${options.deadlineMs} ms.`),
      ),
    );
    const cancel = () => stream.reset(new MoveError('CANCELLED', 'Opening a stream was cancelled.'));
    options.signal?.addEventListener('abort', cancel, { once: true });
    if (options.signal?.aborted) cancel();
    try {
      await stream.accepted;
      return stream;
    } finally {
      cancelTimer();
      options.signal?.removeEventListener('abort', cancel);
    }
  }

  /**
   * Asks the peer and waits for its answer.
   * @throws MoveError the peer's own; `DEADLINE_EXCEEDED`, `LINK_CLOSED`, `MESSAGE_TOO_LARGE`.
   */
  call(method: string, params: unknown, options: { deadlineMs: number }): Promise<unknown> {
    if (this.#state !== 'open') return Promise.reject(this.#closedError());
    return this.#calls.call(method, params, options.deadlineMs);
  }

  /** Tells the peer something without waiting. @throws MoveError `LINK_CLOSED`, `MESSAGE_TOO_LARGE`. */
  notify(method: string, params: unknown): void {
    this.#mustBeOpen();
    this.#send(jsonFrame(frameType.notify, 0, { method, params }));
  }

  /**
   * Asks `verifyPeer` again, as after a revocation, and closes the link when it objects.
   * @returns the objection, or undefined when the peer is still welcome.
   */
  recheck(): MoveError | undefined {
    if (this.#state !== 'open') return undefined;
    try {
      this.#verifyPeer(this.peerCertificate, { remoteAddress: this.remoteAddress });
      return undefined;
    } catch (thrown) {
      const error = toMoveError(thrown);
      this.close(error);
      return error;
    }
  }

  /** Ends every stream and call with `error` (or `LINK_CLOSED`), tells the peer, and hangs up. */
  close(error?: MoveError): void {
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    const goodbye = error ? errorFrame(frameType.goodbye, 0, error) : jsonFrame(frameType.goodbye, 0, null);
    this.#socket.write(Buffer.concat([...this.#messages, goodbye]));
    this.#messages = [];
    this.#dropEverything(error ?? this.#closedError());
    this.#socket.end();
    this.#clock.after(closeGraceMs, () => this.#socket.destroy());
    this.#resolveClosed(error);
  }

  // ---- sending ----

  #wantsToSend(stream: LinkStream): void {
    if (this.#unanswered.has(stream)) this.#accept(stream);
    this.#ready.add(stream);
    if (stream.waitingBytes >= maxDataBytes) this.#scheduleBulk();
    else this.#scheduleFlush();
  }

  #grant(stream: LinkStream, bytes: number): void {
    const frame = Buffer.concat([frameHeader(frameType.window, stream.id, 4), Buffer.alloc(4)]);
    frame.writeUInt32BE(bytes, 8);
    this.#send(frame);
  }

  #accept(stream: LinkStream): void {
    if (!this.#unanswered.delete(stream)) return;
    stream.becomeAccepted();
    this.#send(frameHeader(frameType.accept, stream.id, 0));
  }

  #finished(stream: LinkStream, reset: MoveError | undefined): void {
    this.#ready.delete(stream);
    if (!this.#streams.delete(stream.id)) return;
    if (this.#isOwn(stream.id)) this.#ownStreams -= 1;
    const unanswered = this.#unanswered.delete(stream);
    if (reset && this.#state === 'open') {
      this.#send(errorFrame(unanswered ? frameType.refuse : frameType.reset, stream.id, reset));
    }
  }

  #send(frame: Buffer): void {
    if (this.#state !== 'open') return;
    this.#messages.push(frame);
    this.#messageBytes += frame.length;
    if (this.#messageBytes > overloadBytes || this.#messages.length > overloadMessages) {
      this.#fail(
        new MoveError('LINK_OVERLOADED', 'The other end asks without reading the answers.', this.#where()),
      );
      return;
    }
    this.#scheduleFlush();
  }

  /** Everything said within one turn of the event loop leaves in one write. */
  #scheduleFlush(): void {
    if (this.#flushScheduled || this.#writing || this.#state !== 'open') return;
    this.#flushScheduled = true;
    process.nextTick(this.#flushNow);
  }

  /** Full frames come in rows: what else was read in this turn of the loop shall leave in the same write. */
  #scheduleBulk(): void {
    if (this.#bulkScheduled || this.#flushScheduled || this.#writing || this.#state !== 'open') return;
    this.#bulkScheduled = true;
    setImmediate(this.#flushBulk);
  }

  #flush(): void {
    this.#flushScheduled = false;
    if (this.#writing || this.#state !== 'open') return;
    const used = this.#gatherData(this.#gatherMessages());
    const batch = scratch.subarray(0, used);
    // While the greeting is still on its way a write is kept and not encrypted at once.
    if (used > 0) this.#write(this.#socket.writableLength === 0 ? batch : Buffer.from(batch));
    else if (this.#messages.length > 0) this.#write(this.#takeMessage());
  }

  #write(batch: Buffer): void {
    this.#writing = true;
    this.#socket.write(batch, this.#written);
  }

  #takeMessage(): Buffer {
    const frame = this.#messages.shift()!;
    this.#messageBytes -= frame.length;
    return frame;
  }

  /** Puts the messages that fit into the scratch; one longer than that is left for a write of its own. */
  #gatherMessages(): number {
    let used = 0;
    while (this.#messages.length > 0 && used + this.#messages[0]!.length <= batchBytes) {
      const frame = this.#takeMessage();
      frame.copy(scratch, used);
      used += frame.length;
    }
    return used;
  }

  /** Adds frames of the streams that have something to send, one of each in turn. */
  #gatherData(from: number): number {
    let used = from;
    // A message that did not fit goes before any more data.
    if (this.#messages.length > 0) return used;
    // One frame of data and one END fit.
    while (used + 2 * frameHeaderBytes < batchBytes) {
      const stream = this.#ready.values().next().value;
      if (!stream) break;
      this.#ready.delete(stream);
      const room = Math.min(maxDataBytes, batchBytes - used - 2 * frameHeaderBytes);
      const { pieces, bytes } = stream.takeOutgoing(room);
      if (bytes > 0) {
        this.#sent += 1;
        used = writeFrameHeader(scratch, used, frameType.data, stream.id, bytes);
        for (const piece of pieces) used += piece.copy(scratch, used);
      }
      if (stream.takeEnd()) used = writeFrameHeader(scratch, used, frameType.end, stream.id, 0);
      if (stream.hasWork) this.#ready.add(stream);
    }
    return used;
  }

  // ---- receiving ----

  #onChunk(chunk: Buffer): void {
    this.#pulse.heard();
    this.#heard += 1;
    if (this.#state !== 'open') return;
    try {
      this.#reader.push(chunk);
    } catch (thrown) {
      this.close(toMoveError(thrown));
    }
  }

  #onData(id: number, part: Buffer): void {
    if (this.#state !== 'open') return;
    const stream = this.#streams.get(id);
    if (stream) stream.receive(part);
    else this.#mustHaveExisted(id);
  }

  #onFrame(type: number, id: number, body: Buffer): void {
    if (this.#state !== 'open') return;
    switch (type) {
      case frameType.open:
        this.#onOpen(id, parseJsonBody(body));
        return;
      case frameType.ping:
        this.#send(frameHeader(frameType.pong, id, 0));
        return;
      case frameType.pong:
        this.#pulse.pong(id);
        return;
      case frameType.call:
      case frameType.result:
      case frameType.fault:
        this.#calls.onFrame(type, id, parseJsonBody(body));
        return;
      case frameType.notify:
        this.#onNotify(parseJsonBody(body));
        return;
      case frameType.goodbye:
        this.#onGoodbye(parseJsonBody(body));
        return;
      default:
        this.#onStreamFrame(type, id, body);
    }
  }

  #onStreamFrame(type: number, id: number, body: Buffer): void {
    const stream = this.#streams.get(id);
    if (!stream) {
      this.#mustHaveExisted(id);
      return;
    }
    switch (type) {
      case frameType.accept:
        stream.becomeAccepted();
        return;
      case frameType.refuse:
        stream.endedByPeer(peerError(parseJsonBody(body), 'STREAM_REFUSED'));
        return;
      case frameType.end:
        stream.receiveEnd();
        return;
      case frameType.reset:
        stream.endedByPeer(peerError(parseJsonBody(body), 'STREAM_ABORTED'));
        return;
      case frameType.window:
        if (body.length !== 4)
          throw new MoveError('LINK_PROTOCOL', 'The peer sent a malformed credit frame.');
        stream.addCredit(body.readUInt32BE(0));
        return;
      default:
        throw new MoveError('LINK_PROTOCOL', 'The peer sent a frame of an unknown type.', { type });
    }
  }

  #onOpen(id: number, header: unknown): void {
    if (this.#isOwn(id) || id <= this.#highestPeerId) {
      throw new MoveError('LINK_PROTOCOL', 'The peer opened a stream with a number that is not its to use.', {
        id,
      });
    }
    this.#highestPeerId = id;
    if (this.#streams.size - this.#ownStreams >= this.#limits.maxStreams) {
      const error = new MoveError(
        'TOO_MANY_STREAMS',
        'Too many streams are open on this link; close some first.',
        {
          limit: this.#limits.maxStreams,
        },
      );
      this.#send(errorFrame(frameType.refuse, id, error));
      return;
    }
    const stream = new LinkStream(this.#carrier, id, header, {
      send: this.#peerWindowBytes,
      receive: this.#limits.windowBytes,
    });
    this.#streams.set(id, stream);
    this.#unanswered.add(stream);
    const incoming: IncomingStream = {
      header,
      stream,
      accept: () => {
        this.#accept(stream);
        return stream;
      },
      refuse: (error) => stream.reset(error),
    };
    if (!this.handlers.onStream) {
      incoming.refuse(new MoveError('STREAM_REFUSED', 'This end of the link takes no streams.'));
      return;
    }
    try {
      this.handlers.onStream(incoming, this);
    } catch (thrown) {
      incoming.refuse(toMoveError(thrown));
    }
  }

  #onNotify(message: unknown): void {
    const { method, params } = LinkCalls.parse(message);
    this.handlers.onNotify?.(method, params, this);
  }

  #onGoodbye(body: unknown): void {
    const error = body === null ? undefined : peerError(body, 'LINK_CLOSED');
    this.#state = 'closed';
    this.#dropEverything(error ?? this.#closedError());
    this.#socket.destroy();
    this.#resolveClosed(error);
  }

  // ---- ending ----

  #fail(error: MoveError): void {
    if (this.#state === 'closed') return;
    const wasOpen = this.#state === 'open';
    this.#state = 'closed';
    this.#socket.destroy();
    if (!wasOpen) return;
    this.#dropEverything(error);
    this.#resolveClosed(error);
  }

  #dropEverything(error: MoveError): void {
    this.#pulse.stop();
    this.#calls.fail(error);
    this.#ready.clear();
    this.#unanswered.clear();
    for (const stream of [...this.#streams.values()]) stream.endedByPeer(error);
    this.#streams.clear();
  }

  #checkDates(): void {
    if (this.#clock.now() > Date.parse(this.peerCertificate.validTo)) {
      this.close(
        new MoveError(
          'CERTIFICATE_EXPIRED',
          'The certificate of this link has expired; renew it and connect again.',
        ),
      );
    }
  }

  #isOwn(id: number): boolean {
    return id % 2 === (this.side === 'client' ? 1 : 0);
  }

  #mustHaveExisted(id: number): void {
    const existed = id > 0 && (this.#isOwn(id) ? id < this.#nextId : id <= this.#highestPeerId);
    if (!existed)
      throw new MoveError('LINK_PROTOCOL', 'The peer used a stream that was never opened.', { id });
  }

  #mustBeOpen(): void {
    if (this.#state !== 'open') throw this.#closedError();
  }

  #closedError(): MoveError {
    return new MoveError('LINK_CLOSED', 'The link is closed.', this.#where());
  }

  #where(): Record<string, unknown> {
    return this.remoteAddress === undefined ? {} : { remoteAddress: this.remoteAddress };
  }
}
