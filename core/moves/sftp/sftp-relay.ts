import type { Duplex } from 'node:stream';
import type { Clock } from '../../runtime/clock.ts';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import type { AttributeMemory } from './attribute-memory.ts';
import {
  openForReading,
  SftpFields,
  type SftpFrame,
  SftpFrameReader,
  sftpFrame,
  sftpNumber,
  sftpStatus,
  sftpString,
  sftpType,
  statusBody,
} from './frames.ts';
import { Handles, type OpenHandle } from './handles.ts';
import {
  byHandle,
  changing,
  changingPaths,
  extensionsByHandle,
  extensionsThatOnlyRead,
} from './request-kinds.ts';
import { type Reply, StorageRequests } from './storage-requests.ts';

export interface SftpRelayParts {
  /** Where sshfs speaks. The relay ends with it and destroys it when it ends itself. */
  client: Duplex;
  /** Opens a stream to the storage's file server, usable at once; null while no link is there. */
  dial: () => Duplex | null;
  memory: AttributeMemory;
  clock: Clock;
  /** Told of what is not SFTP, once, and then the relay is over. */
  onFault: (error: MoveError) => void;
}

const ours = (type: number, body: Buffer): Reply => ({ type, body, reached: true });
const done = ours(sftpType.status, statusBody(sftpStatus.ok, ''));
const refused = (message: string) => ours(sftpType.status, statusBody(sftpStatus.failure, message));
/** OpenSSH's server leaves requests that it does not know without a reply. */
const unsupported = ours(sftpType.status, statusBody(sftpStatus.unsupported, 'SFTP 3 has no such request.'));
/** The handle's connection is over: what was open on it can only be opened again. */
const stale = ours(
  sftpType.status,
  statusBody(sftpStatus.unreachable, 'The lifeline on which it was opened is gone.'),
);

/** More of sshfs' requests are not read while so many wait. */
const unansweredAtMost = 1024;

type Answer = (reply: Reply) => void;

/**
 * Stands between one connection of sshfs and its storage far away, and spares round trips: a file whose
 * attributes are remembered and fresh is opened here, and at the storage only when somebody reads what the
 * kernel does not have. A storage that falls silent costs people an error within about a second, never more;
 * the connection of sshfs outlives links, so that what is answered from memory goes on without one.
 */
export class SftpRelay {
  readonly #parts: SftpRelayParts;
  readonly #memory: AttributeMemory;
  readonly #storage: StorageRequests;
  readonly #handles = new Handles();
  #greeting: 'none' | 'awaited' | 'done' = 'none';
  #unanswered = 0;
  #ended = false;

  constructor(parts: SftpRelayParts) {
    this.#parts = parts;
    this.#memory = parts.memory;
    this.#storage = new StorageRequests({
      dial: parts.dial,
      clock: parts.clock,
      onVersion: (payload) => this.#onVersion(payload),
      onLost: () => {
        // sshfs waits for the version without a limit, and everybody waits with it.
        if (this.#greeting === 'awaited') this.close();
      },
      onRoom: () => this.#regulate(),
      onFault: (error) => this.#fault(error),
    });
    const { client } = parts;
    const reader = new SftpFrameReader((frame) => this.#onFrame(frame));
    client.on('data', (chunk: Buffer) => {
      if (this.#ended) return;
      try {
        reader.push(chunk);
      } catch (thrown) {
        this.#fault(toMoveError(thrown));
      }
      this.#regulate();
    });
    client.on('drain', () => this.#regulate());
    client.on('error', () => undefined);
    client.on('end', () => this.close());
    client.on('close', () => this.close());
  }

  /** Opens the stream to the storage ahead of the first who needs it: a link has come. */
  connect(): void {
    if (!this.#ended && this.#greeting === 'done') this.#storage.connect(true);
  }

  /** Ends both sides. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#storage.close();
    this.#parts.client.destroy();
  }

  #fault(error: MoveError): void {
    if (this.#ended) return;
    this.close();
    this.#parts.onFault(error);
  }

  /** Reads from each side only what the other can take. */
  #regulate(): void {
    if (this.#ended) return;
    const { client } = this.#parts;
    const slow = client.writableNeedDrain;
    if (slow) this.#storage.pauseReplies();
    else this.#storage.resumeReplies();
    const wait = slow || this.#storage.isFull || this.#unanswered >= unansweredAtMost;
    if (wait !== client.isPaused()) {
      if (wait) client.pause();
      else client.resume();
    }
  }

  #onVersion(payload: Buffer): void {
    this.#memory.version = Buffer.from(payload);
    if (this.#greeting === 'awaited') this.#greet(payload);
  }

  #greet(version: Buffer): void {
    this.#greeting = 'done';
    this.#parts.client.write(sftpFrame(sftpType.version, version));
  }

  #onFrame(frame: SftpFrame): void {
    if (this.#ended) return;
    if (this.#greeting !== 'done') {
      this.#onInit(frame);
      return;
    }
    const fields = new SftpFields(frame.payload);
    const number = fields.number();
    const body = Buffer.from(fields.rest());
    this.#unanswered += 1;
    this.#onRequest(frame.type, body, ({ type, body: reply }) => {
      this.#unanswered -= 1;
      if (!this.#ended) this.#parts.client.write(sftpFrame(type, sftpNumber(number), reply));
    });
  }

  #onInit(frame: SftpFrame): void {
    if (frame.type !== sftpType.init || this.#greeting !== 'none')
      throw new MoveError('SFTP_MALFORMED', 'sshfs did not begin with its version.', { type: frame.type });
    if (this.#memory.version) {
      this.#greet(this.#memory.version);
      this.#storage.connect();
      return;
    }
    this.#greeting = 'awaited';
    if (!this.#storage.connect()) this.close();
  }

  #onRequest(type: number, body: Buffer, answer: Answer): void {
    const fields = new SftpFields(body);
    if (type === sftpType.open || type === sftpType.opendir) this.#onOpen(type, body, answer);
    else if (type === sftpType.close) this.#onClose(fields.string(), answer);
    else if (type === sftpType.lstat) this.#onLstat(fields.string(), answer);
    else if (type === sftpType.extended) this.#onExtended(body, answer);
    else if (byHandle.has(type)) {
      const handle = fields.string();
      const settle = changing.has(type) ? this.#change(type, answer) : answer;
      this.#onHandle(type, [], handle, fields.rest(), settle);
    } else if (type < sftpType.open || type > sftpType.symlink) answer(unsupported);
    else this.#storage.send(type, [body], changing.has(type) ? this.#change(type, answer) : answer);
  }

  #onOpen(type: number, body: Buffer, answer: Answer): void {
    const fields = new SftpFields(body);
    const path = fields.string();
    const flags = type === sftpType.open ? fields.number() : openForReading;
    if (!this.#handles.hasRoom) {
      answer(refused('Too many files are open over the lifeline.'));
      return;
    }
    if (type === sftpType.open && flags === openForReading && this.#memory.openRegular(path)) {
      answer(this.#handleReply(this.#handles.add(Buffer.from(path), null)));
      if (this.#memory.shouldAskAgain(path)) this.#askAgain(path);
      return;
    }
    const settle = flags === openForReading ? answer : this.#change(type, answer);
    this.#storage.send(type, [body], (reply) => {
      if (reply.type !== sftpType.handle) settle(reply);
      else settle(this.#handleReply(this.#handles.add(null, this.#remote(reply))));
    });
  }

  #onLstat(path: Buffer, answer: Answer): void {
    const remembered = this.#memory.takeOwed(path);
    if (remembered) {
      answer(ours(sftpType.attrs, remembered));
      return;
    }
    this.#lstat(path, (reply) => {
      const told = reply.reached ? undefined : this.#memory.lastTold(path);
      answer(told ? ours(sftpType.attrs, told) : reply);
    });
  }

  #askAgain(path: Buffer): void {
    this.#lstat(path, (reply) => {
      if (!reply.reached) this.#memory.askedInVain(path);
    });
  }

  #lstat(path: Buffer, answer: Answer): void {
    const { age } = this.#memory;
    this.#storage.send(sftpType.lstat, [sftpString(path)], (reply) => {
      if (reply.type === sftpType.attrs) this.#memory.learn(path, reply.body, age);
      else if (reply.reached) this.#memory.drop(path);
      answer(reply);
    });
  }

  #onClose(name: Buffer, answer: Answer): void {
    const handle = this.#handles.find(name);
    if (!handle) {
      answer(refused('No such file is open.'));
      return;
    }
    this.#handles.remove(handle);
    // The storage closes beside it: a file that was written has had every reply to its writes by now.
    if (handle.remote?.connection === this.#storage.connection)
      this.#storage.closeHandle(handle.remote.handle);
    answer(done);
  }

  #onExtended(body: Buffer, answer: Answer): void {
    const fields = new SftpFields(body);
    const name = fields.string();
    const extension = name.toString('latin1');
    const settle = extensionsThatOnlyRead.has(extension) ? answer : this.#change(sftpType.extended, answer);
    if (extensionsByHandle.has(extension))
      this.#onHandle(sftpType.extended, [sftpString(name)], fields.string(), fields.rest(), settle);
    else this.#storage.send(sftpType.extended, [body], settle);
  }

  /** Sends a request that names a handle: its fields before the handle, the handle, its fields after it. */
  #onHandle(type: number, before: Buffer[], name: Buffer, after: Buffer, answer: Answer): void {
    const handle = this.#handles.find(name);
    if (!handle) {
      answer(refused('No such file is open.'));
      return;
    }
    const { remote } = handle;
    if (remote && remote.connection !== this.#storage.connection) answer(stale);
    else if (remote) this.#storage.send(type, [...before, sftpString(remote.handle), after], answer);
    else this.#whenOpen(handle, answer, () => this.#onHandle(type, before, name, after, answer));
  }

  /** Opens at the storage what was opened from memory, once; `proceed` follows, or the storage's refusal. */
  #whenOpen(handle: OpenHandle, answer: Answer, proceed: () => void): void {
    const wait = (refusal: Reply | null) => (refusal ? answer(refusal) : proceed());
    if (!handle.queue) this.#openNow(handle, wait);
    else handle.queue.push(wait);
  }

  #openNow(handle: OpenHandle, first?: (refusal: Reply | null) => void): void {
    this.#handles.opening(handle, first);
    const body = [sftpString(handle.path!), sftpNumber(openForReading), sftpNumber(0)];
    this.#storage.send(sftpType.open, body, (reply) => {
      const remote = reply.type === sftpType.handle ? this.#remote(reply) : null;
      if (remote && handle.closed) this.#storage.closeHandle(remote.handle);
      for (const waiting of this.#handles.opened(handle, remote)) waiting(remote ? null : reply);
    });
  }

  /** Forgets what is remembered, now and when the reply comes. */
  #change(type: number, answer: Answer): Answer {
    this.#memory.forget();
    if (changingPaths.has(type)) for (const handle of this.#handles.unopened) this.#openNow(handle);
    return (reply) => {
      this.#memory.forget();
      answer(reply);
    };
  }

  #remote(reply: Reply): { handle: Buffer; connection: number } {
    return {
      handle: Buffer.from(new SftpFields(reply.body).string()),
      connection: this.#storage.connection,
    };
  }

  #handleReply(handle: OpenHandle): Reply {
    return ours(sftpType.handle, sftpString(sftpNumber(handle.number)));
  }
}
