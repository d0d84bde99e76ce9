import type { Reply } from './storage-requests.ts';

/** What an open file or directory of sshfs is at the storage. */
export interface OpenHandle {
  readonly number: number;
  /** The file's path when it is open for reading only and was opened from memory. */
  readonly path: Buffer | null;
  /** The storage's handle, and the connection that it belongs to. */
  remote: { handle: Buffer; connection: number } | null;
  /** Who waits until the storage has opened it, or refused to; null when nobody has asked it to. */
  queue: ((refusal: Reply | null) => void)[] | null;
  closed: boolean;
}

const handlesAtMost = 16_384;

/** The handles given to sshfs. All of them are ours, so that the storage's come and go with its connections. */
export class Handles {
  readonly #handles = new Map<number, OpenHandle>();
  readonly #unopened = new Set<OpenHandle>();
  #next = 0;

  /** Whether one more may be open. */
  get hasRoom(): boolean {
    return this.#handles.size < handlesAtMost;
  }

  /** Those that the storage does not know yet, oldest first. */
  get unopened(): readonly OpenHandle[] {
    return [...this.#unopened];
  }

  add(path: Buffer | null, remote: OpenHandle['remote']): OpenHandle {
    do this.#next = (this.#next + 1) % 2 ** 32;
    while (this.#handles.has(this.#next));
    const handle: OpenHandle = { number: this.#next, path, remote, queue: null, closed: false };
    this.#handles.set(handle.number, handle);
    if (!remote) this.#unopened.add(handle);
    return handle;
  }

  find(handle: Buffer): OpenHandle | undefined {
    return handle.length === 4 ? this.#handles.get(handle.readUInt32BE(0)) : undefined;
  }

  /** The storage has been asked to open it. */
  opening(handle: OpenHandle, first?: (refusal: Reply | null) => void): void {
    this.#unopened.delete(handle);
    handle.queue = first ? [first] : [];
  }

  /** What became of that; gives back who waited. */
  opened(handle: OpenHandle, remote: OpenHandle['remote']): NonNullable<OpenHandle['queue']> {
    const queue = handle.queue ?? [];
    handle.queue = null;
    handle.remote = remote;
    if (!remote && !handle.closed) this.#unopened.add(handle);
    return queue;
  }

  remove(handle: OpenHandle): void {
    handle.closed = true;
    this.#handles.delete(handle.number);
    this.#unopened.delete(handle);
  }
}
