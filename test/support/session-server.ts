import type { Duplex } from 'node:stream';

/**
 * The gateway's end of the session protocol, written a second time and from the wire format alone, so that
 * the access point's end can be tested against cuts without a pod. Simple on purpose: it gathers bytes.
 */
interface Session {
  service: Duplex;
  stream: Duplex | undefined;
  upDelivered: number;
  upEnd: boolean;
  upShut: boolean;
  down: Buffer;
  downAcked: number;
  downSent: number;
  downEnd: boolean;
  finSent: boolean;
  downFinacked: boolean;
  finackSent: boolean;
  lastAck: number;
}

const windowBytes = 262_144;

export class SessionServer {
  readonly sessions = new Map<string, Session>();
  readonly #connect: (port: number) => Duplex | undefined;
  paused = false;
  opened = 0;
  /** The most unacknowledged bytes that any session held. */
  mostBuffered = 0;

  constructor(connect: (port: number) => Duplex | undefined) {
    this.#connect = connect;
  }

  /** Closes every stream and refuses new ones, as a gateway does before its checkpoint. */
  pause(): void {
    this.paused = true;
    for (const session of this.sessions.values()) {
      session.stream?.destroy();
      session.stream = undefined;
    }
  }

  serve(stream: Duplex): void {
    let input: Buffer = Buffer.alloc(0);
    let session: Session | undefined;
    let id = '';
    stream.on('error', () => undefined);
    stream.on('close', () => {
      if (session?.stream === stream) session.stream = undefined;
    });
    stream.on('end', () => stream.end());
    stream.on('data', (chunk: Buffer) => {
      input = input.length ? Buffer.concat([input, chunk]) : chunk;
      if (!session) {
        if (input.length < 31) return;
        id = input.subarray(5, 21).toString('hex');
        session = this.#open(stream, input, id);
        if (!session) return;
        input = input.subarray(31);
        this.#send(session);
      }
      if (session.stream !== stream) return;
      while (input.length >= 5) {
        const length = input.readUInt32BE(1);
        if (input.length < 5 + length) break;
        const body = input.subarray(5, 5 + length);
        const type = input[0]!;
        input = input.subarray(5 + length);
        this.#frame(session, id, type, body);
        if (!this.sessions.has(id)) return;
      }
      this.#send(session);
      this.#finish(session, id);
    });
  }

  #reply(stream: Duplex, status: number, received: number): void {
    const bytes = Buffer.alloc(13);
    bytes.write('MVS1', 0, 'latin1');
    bytes[4] = status;
    bytes.writeBigUInt64BE(BigInt(received), 5);
    stream.write(bytes);
    if (status !== 0) stream.end();
  }

  #open(stream: Duplex, header: Buffer, id: string): Session | undefined {
    const received = Number(header.readBigUInt64BE(23));
    if (this.paused) {
      this.#reply(stream, 3, 0);
      return undefined;
    }
    let session = this.sessions.get(id);
    if (!session) {
      if (header[4] === 2) {
        this.#reply(stream, 1, 0);
        return undefined;
      }
      const service = this.#connect(header.readUInt16BE(21));
      if (!service) {
        this.#reply(stream, 2, 0);
        return undefined;
      }
      this.opened += 1;
      session = {
        service,
        stream,
        upDelivered: 0,
        upEnd: false,
        upShut: false,
        down: Buffer.alloc(0),
        downAcked: 0,
        downSent: 0,
        downEnd: false,
        finSent: false,
        downFinacked: false,
        finackSent: false,
        lastAck: 0,
      };
      this.sessions.set(id, session);
      this.#watchService(session, id);
    } else {
      const old = session.stream;
      session.stream = stream;
      old?.destroy();
      if (received < session.downAcked || received > session.downAcked + session.down.length) {
        throw new Error('the client resumed from an impossible offset');
      }
      session.down = session.down.subarray(received - session.downAcked);
      session.downAcked = received;
      session.downSent = received;
      if (!session.downFinacked) session.finSent = false;
      session.finackSent = false;
      // Without this a client that had received everything waits for ever: nothing is left that it could acknowledge.
      if (session.down.length < windowBytes && !session.downEnd) session.service.resume();
    }
    this.#reply(stream, 0, session.upDelivered);
    session.lastAck = session.upDelivered;
    return session;
  }

  #watchService(session: Session, id: string): void {
    session.service.on('data', (chunk: Buffer) => {
      session.down = Buffer.concat([session.down, chunk]);
      this.mostBuffered = Math.max(this.mostBuffered, session.down.length);
      if (session.down.length >= windowBytes) session.service.pause();
      this.#send(session);
    });
    session.service.on('end', () => {
      session.downEnd = true;
      this.#send(session);
    });
    session.service.on('error', () => {
      session.stream?.write(Buffer.from([4, 0, 0, 0, 1, 1]));
      session.stream?.end();
      this.sessions.delete(id);
    });
  }

  #frame(session: Session, id: string, type: number, body: Buffer): void {
    const offset = body.length === 8 ? Number(body.readBigUInt64BE(0)) : 0;
    if (type === 1) {
      if (session.upEnd) throw new Error('the client sent bytes after its end');
      session.upDelivered += body.length;
      session.service.write(Buffer.from(body));
    } else if (type === 2) {
      if (offset > session.downSent) throw new Error('the client acknowledged bytes it was never sent');
      if (offset > session.downAcked) {
        session.down = session.down.subarray(offset - session.downAcked);
        session.downAcked = offset;
      }
      if (session.down.length < windowBytes && !session.downEnd) session.service.resume();
    } else if (type === 3) {
      if (offset !== session.upDelivered) throw new Error('the client ended at an offset it never sent');
      session.upEnd = true;
      session.finackSent = false;
      if (!session.upShut) session.service.end();
      session.upShut = true;
    } else if (type === 4) {
      session.service.destroy();
      this.sessions.delete(id);
      session.stream?.end();
    } else if (type === 5) {
      if (!session.finSent) throw new Error('the client acknowledged an end never sent');
      session.downFinacked = true;
    } else {
      throw new Error(`unknown frame ${type}`);
    }
  }

  #send(session: Session): void {
    const { stream } = session;
    if (!stream || stream.destroyed) return;
    const total = session.downAcked + session.down.length;
    while (session.downSent < total && session.downSent - session.downAcked < windowBytes) {
      const from = session.downSent - session.downAcked;
      const piece = session.down.subarray(from, Math.min(from + 50_000, windowBytes));
      const head = Buffer.alloc(5);
      head[0] = 1;
      head.writeUInt32BE(piece.length, 1);
      stream.write(Buffer.concat([head, piece]));
      session.downSent += piece.length;
    }
    if (session.upDelivered > session.lastAck) {
      stream.write(offset(2, session.upDelivered));
      session.lastAck = session.upDelivered;
    }
    if (session.upShut && !session.finackSent) {
      stream.write(Buffer.from([5, 0, 0, 0, 0]));
      session.finackSent = true;
    }
    if (session.downEnd && !session.finSent && session.downSent === total) {
      stream.write(offset(3, total));
      session.finSent = true;
    }
  }

  #finish(session: Session, id: string): void {
    if (!session.finackSent || !session.downFinacked) return;
    this.sessions.delete(id);
    session.stream?.end();
  }
}

function offset(type: number, value: number): Buffer {
  const bytes = Buffer.alloc(13);
  bytes[0] = type;
  bytes.writeUInt32BE(8, 1);
  bytes.writeBigUInt64BE(BigInt(value), 5);
  return bytes;
}
