import { chownSync, closeSync, openSync, renameSync, writeSync } from 'node:fs';

const limitBytes = 512 * 1024;

/** A log file of at most 512 KiB, with one predecessor of that size kept beside it. */
export class BoundedLog {
  readonly #file: string;
  readonly #owner: { uid: number; gid: number };
  #fd: number;
  #written = 0;

  constructor(file: string, owner: { uid: number; gid: number }) {
    this.#file = file;
    this.#owner = owner;
    this.#fd = this.#open();
  }

  /** Appends one line with the time in front of it. */
  line(text: string): void {
    const bytes = Buffer.from(`${new Date().toISOString()} ${text.slice(0, 4000)}\n`);
    if (this.#written + bytes.length > limitBytes) {
      closeSync(this.#fd);
      renameSync(this.#file, `${this.#file}.1`);
      this.#fd = this.#open();
      this.#written = 0;
    }
    this.#written += writeSync(this.#fd, bytes);
  }

  #open(): number {
    const fd = openSync(this.#file, 'w', 0o644);
    chownSync(this.#file, this.#owner.uid, this.#owner.gid);
    return fd;
  }
}
