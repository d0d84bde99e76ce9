import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { sessionHeader } from '../../../core/pods/gateway-client.ts';

const windowBytes = 262144;

/** A refusal of OPEN or RESUME: its status is the session protocol's. */
export class SessionRefused extends Error {
  readonly status: number;
  constructor(status: number) {
    super(`refused with status ${status}`);
    this.status = status;
  }
}

export function frame(type: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(type, 0);
  head.writeUInt32BE(payload.length, 1);
  return Buffer.concat([head, payload]);
}

export function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

export function dial(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket));
    socket.once('error', reject);
  });
}

/**
 * The client's side of one session, as an access point plays it: keeps what is not acknowledged, resumes
 * over a new stream, counts every byte.
 */
export class SessionClient {
  readonly id = randomBytes(16);
  readonly #dial: () => Promise<Socket>;
  readonly #port: number;
  socket: Socket | undefined;
  received = 0;
  acknowledgedByPeer = 0;
  reset: number | undefined;
  remoteEnded = false;
  finAcknowledged = false;
  streamClosed = true;
  onData: (chunk: Buffer) => void = () => undefined;
  /** Set to hold back acknowledgements, as a slow reader does. */
  silent = false;
  #sent = 0;
  #unacknowledged = Buffer.alloc(0);
  #outbox = Buffer.alloc(0);
  #finWanted = false;
  #held = Buffer.alloc(0);
  #replied = false;
  #waiters: (() => void)[] = [];
  #refused: number | undefined;

  constructor(dialGateway: () => Promise<Socket>, port: number) {
    this.#dial = dialGateway;
    this.#port = port;
  }

  open(): Promise<void> {
    return this.#attach(1);
  }

  resume(): Promise<void> {
    return this.#attach(2);
  }

  detach(): void {
    this.socket?.destroy();
    this.streamClosed = true;
  }

  write(bytes: Buffer | string): void {
    this.#outbox = Buffer.concat([this.#outbox, Buffer.from(bytes)]);
    this.#pump();
  }

  end(): void {
    this.#finWanted = true;
    this.#pump();
  }

  acknowledge(): void {
    this.socket?.write(frame(2, u64(this.received)));
  }

  get unacknowledgedBytes(): number {
    return this.#unacknowledged.length;
  }

  /** Waits for a condition over this session's state. */
  async until(condition: () => boolean, limitMs = 10_000): Promise<void> {
    const deadline = performance.now() + limitMs;
    while (!condition()) {
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`condition not met in ${limitMs} ms: ${condition.toString()}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  async #attach(kind: 1 | 2): Promise<void> {
    this.detach();
    const socket = await this.#dial();
    this.socket = socket;
    this.streamClosed = false;
    this.#held = Buffer.alloc(0);
    this.#replied = false;
    this.#refused = undefined;
    socket.on('data', (chunk: Buffer) => {
      if (this.socket === socket) this.#take(chunk);
    });
    const closed = () => {
      if (this.socket !== socket) return;
      this.streamClosed = true;
      this.#wake();
    };
    socket.on('error', closed);
    socket.on('close', closed);
    socket.write(sessionHeader(kind, this.id, this.#port, BigInt(this.received)));
    await this.until(() => this.#replied || this.streamClosed || this.#refused !== undefined);
    if (this.#refused !== undefined) throw new SessionRefused(this.#refused);
    if (!this.#replied) throw new Error('the gateway hung up before its reply');
  }

  #take(chunk: Buffer): void {
    this.#held = Buffer.concat([this.#held, chunk]);
    if (!this.#replied) {
      if (this.#held.length < 13) return;
      if (this.#held.toString('latin1', 0, 4) !== 'MVS1') throw new Error('not the session protocol');
      const status = this.#held[4]!;
      if (status !== 0) {
        this.#refused = status;
        this.#wake();
        return;
      }
      this.#heardOf(Number(this.#held.readBigUInt64BE(5)));
      this.#held = this.#held.subarray(13);
      this.#replied = true;
      const again = this.#unacknowledged;
      for (let at = 0; at < again.length; at += 65536)
        this.socket!.write(frame(1, again.subarray(at, at + 65536)));
      this.#finSent = false;
      this.#pump();
    }
    while (this.#held.length >= 5) {
      const length = this.#held.readUInt32BE(1);
      if (this.#held.length < 5 + length) break;
      const payload = this.#held.subarray(5, 5 + length);
      const type = this.#held[0];
      this.#held = this.#held.subarray(5 + length);
      if (type === 1) {
        this.received += payload.length;
        this.onData(payload);
        if (!this.silent) this.acknowledge();
      } else if (type === 2) this.#heardOf(Number(payload.readBigUInt64BE(0)));
      else if (type === 3) {
        if (Number(payload.readBigUInt64BE(0)) !== this.received) throw new Error('FIN at the wrong offset');
        this.remoteEnded = true;
        this.socket!.write(frame(5));
      } else if (type === 4) this.reset = payload[0];
      else if (type === 5) this.finAcknowledged = true;
    }
    this.#pump();
    this.#wake();
  }

  #finSent = false;

  #heardOf(total: number): void {
    this.#unacknowledged = this.#unacknowledged.subarray(total - this.acknowledgedByPeer);
    this.acknowledgedByPeer = total;
  }

  #pump(): void {
    if (!this.#replied || this.streamClosed) return;
    while (this.#outbox.length > 0 && this.#unacknowledged.length < windowBytes) {
      const size = Math.min(65536, this.#outbox.length, windowBytes - this.#unacknowledged.length);
      const part = this.#outbox.subarray(0, size);
      this.#outbox = this.#outbox.subarray(size);
      this.#unacknowledged = Buffer.concat([this.#unacknowledged, part]);
      this.#sent += size;
      this.socket!.write(frame(1, part));
    }
    if (this.#finWanted && this.#outbox.length === 0 && !this.#finSent && !this.finAcknowledged) {
      this.#finSent = true;
      this.socket!.write(frame(3, u64(this.#sent)));
    }
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }
}
