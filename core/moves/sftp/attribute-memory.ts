import type { Clock } from '../../runtime/clock.ts';
import { isRegularFile } from './frames.ts';

/** As long as sshfs itself trusts attributes (its dcache_timeout): a longer memory would show people older files. */
export const trustedMs = 20_000;
/**
 * As long as attributes are repeated to somebody who asks for them alone while the storage cannot be asked. sshfs asks
 * for those of a directory only every 20 s, however often it is used, and what is remembered of it is that old then.
 */
export const repeatedMs = 2 * trustedMs;
/** Attributes older than this are asked for again, beside the answer, when they are used. */
export const askAgainAfterMs = 1_000;
/** sshfs sends the LSTAT of an open right behind it; what has not come by then does not belong to it. */
const owedMs = 1_000;
const pathBytesAtMost = 4096;
const attributeBytesAtMost = 1024;

interface Remembered {
  attributes: Buffer;
  learntAt: number;
  regular: boolean;
  owed: number;
  owedUntil: number;
  /** They are being asked for again. */
  asking: boolean;
}

/**
 * What a storage told about its files: raw attributes by path, the least recently used forgotten first, and
 * its answer to INIT. It outlives connections of sshfs and links.
 */
export class AttributeMemory {
  /** The payload of the storage's VERSION. */
  version: Buffer | undefined;
  readonly #clock: Clock;
  readonly #entriesAtMost: number;
  readonly #entries = new Map<string, Remembered>();
  #age = 0;

  constructor(clock: Clock, entriesAtMost = 4096) {
    this.#clock = clock;
    this.#entriesAtMost = entriesAtMost;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Changes whenever everything is forgotten: what was asked for before that must not be learnt after it. */
  get age(): number {
    return this.#age;
  }

  /** Remembers what an LSTAT told that was sent at `age`. @throws MoveError `SFTP_MALFORMED`. */
  learn(path: Buffer, attributes: Buffer, age: number): void {
    const regular = isRegularFile(attributes);
    if (age !== this.#age || path.length > pathBytesAtMost || attributes.length > attributeBytesAtMost)
      return;
    const key = path.toString('latin1');
    const known = this.#entries.get(key);
    this.#entries.delete(key);
    this.#entries.set(key, {
      attributes: Buffer.from(attributes),
      learntAt: this.#clock.monotonic(),
      regular,
      owed: known?.owed ?? 0,
      owedUntil: known?.owedUntil ?? 0,
      asking: false,
    });
    if (this.#entries.size > this.#entriesAtMost) this.#entries.delete(this.#entries.keys().next().value!);
  }

  /**
   * Whether an open for reading may be answered without the storage: the path is known, trusted and a regular
   * file. The next LSTAT of the path belongs to this open, see `takeOwed`.
   */
  openRegular(path: Buffer): boolean {
    const key = path.toString('latin1');
    const entry = this.#trusted(key);
    if (!entry?.regular) return false;
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    entry.owed += 1;
    entry.owedUntil = this.#clock.monotonic() + owedMs;
    return true;
  }

  /** The attributes for the LSTAT that came with an open answered from here; undefined for any other. */
  takeOwed(path: Buffer): Buffer | undefined {
    const entry = this.#trusted(path.toString('latin1'));
    if (!entry || entry.owed === 0) return undefined;
    if (entry.owedUntil < this.#clock.monotonic()) {
      entry.owed = 0;
      return undefined;
    }
    entry.owed -= 1;
    return entry.attributes;
  }

  /** What the storage told last of a path, for a while in which it cannot be asked; undefined when that is too old. */
  lastTold(path: Buffer): Buffer | undefined {
    return this.#recent(path.toString('latin1'))?.attributes;
  }

  /** True once, when attributes that are in use have become old and nobody asks for them yet. */
  shouldAskAgain(path: Buffer): boolean {
    const entry = this.#entries.get(path.toString('latin1'));
    if (!entry || entry.asking || this.#clock.monotonic() - entry.learntAt <= askAgainAfterMs) return false;
    entry.asking = true;
    return true;
  }

  /** The storage could not be asked again; the next use tries it anew. */
  askedInVain(path: Buffer): void {
    const entry = this.#entries.get(path.toString('latin1'));
    if (entry) entry.asking = false;
  }

  /** Forgets one path: the storage says that it has it no longer. */
  drop(path: Buffer): void {
    this.#entries.delete(path.toString('latin1'));
  }

  /** Forgets every path: something changes. */
  forget(): void {
    this.#age += 1;
    this.#entries.clear();
  }

  #trusted(key: string): Remembered | undefined {
    const entry = this.#recent(key);
    return entry && this.#clock.monotonic() - entry.learntAt <= trustedMs ? entry : undefined;
  }

  #recent(key: string): Remembered | undefined {
    const entry = this.#entries.get(key);
    if (!entry || this.#clock.monotonic() - entry.learntAt <= repeatedMs) return entry;
    this.#entries.delete(key);
    return undefined;
  }
}
