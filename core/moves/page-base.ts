import { hash } from 'node:crypto';
import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';

export const pageBytes = 4096;
/** Hashed in one go before others get a turn. */
const pagesATurn = 512;

/** What tells a page from every other: who can write into a service's memory must not be able to make two alike. */
const keyOf = (page: Buffer): string => hash('sha256', page, 'base64');

/** The files of a directory in the order of their names, and where each stands when filled up to whole pages. */
function filesOf(directory: string): { path: string; size: number; at: number; end: number }[] {
  let end = 0;
  return readdirSync(directory)
    .sort()
    .map((name) => {
      const path = join(directory, name);
      const { size } = statSync(path);
      const at = end;
      end += Math.ceil(size / pageBytes) * pageBytes;
      return { path, size, at, end };
    });
}

/** Fills `into` with a file's bytes from `position` on. @throws Error when there are fewer. */
export function readFully(file: number, into: Buffer, position: number): void {
  for (let done = 0; done < into.length; ) {
    const read = readSync(file, into, done, into.length - done, position + done);
    if (read === 0) throw new Error('a file became shorter while it was read');
    done += read;
  }
}

/**
 * The files of a directory one after another in the order of their names, each filled up to whole pages. Both ends
 * of a move have the same directory and so the same numbers for its pages.
 * @throws Error when a file cannot be read.
 */
export function readBase(directory: string): Buffer {
  const files = filesOf(directory);
  const base = Buffer.alloc(files.at(-1)?.end ?? 0);
  for (const { path, size, at } of files) {
    const file = openSync(path, 'r');
    try {
      readFully(file, base.subarray(at, at + size), 0);
    } finally {
      closeSync(file);
    }
  }
  return base;
}

/** The first bytes of the largest file of a directory: what most of it is like. */
export function readSample(directory: string, mostBytes: number): Buffer {
  const largest = filesOf(directory).sort((left, right) => right.size - left.size)[0];
  if (!largest) return Buffer.alloc(0);
  const sample = Buffer.alloc(Math.min(mostBytes, largest.size));
  const file = openSync(largest.path, 'r');
  try {
    readFully(file, sample, 0);
  } finally {
    closeSync(file);
  }
  return sample;
}

/** The sender's side of a base: which of its pages have a given content. */
export class PageIndex {
  readonly #byKey = new Map<string, number>();

  /**
   * Reads page after page into the same memory: a whole base of it, and V8 would collect its heap while the pod
   * is frozen.
   * @throws Error of {@link readBase}; an AbortError when `signal` fires.
   */
  static async of(directory: string, signal: AbortSignal): Promise<PageIndex> {
    const index = new PageIndex();
    const turnBytes = pagesATurn * pageBytes;
    const memory = Buffer.alloc(turnBytes);
    for (const { path, size, at } of filesOf(directory)) {
      const file = openSync(path, 'r');
      try {
        for (let done = 0; done < size; done += turnBytes) {
          const part = memory.subarray(0, Math.min(turnBytes, size - done));
          readFully(file, part, done);
          index.#add(part, (at + done) / pageBytes);
          await turn();
          signal.throwIfAborted();
        }
      } finally {
        closeSync(file);
      }
    }
    return index;
  }

  #add(part: Buffer, firstPage: number): void {
    for (let at = 0; at < part.length; at += pageBytes) {
      let page = part.subarray(at, at + pageBytes);
      if (page.length < pageBytes) page = Buffer.concat([page], pageBytes);
      const key = keyOf(page);
      if (!this.#byKey.has(key)) this.#byKey.set(key, firstPage + at / pageBytes);
    }
  }

  /** The number of a page with this content; undefined when there is none. */
  find(page: Buffer): number | undefined {
    return this.#byKey.get(keyOf(page));
  }
}
