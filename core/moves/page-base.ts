import { hash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';

export const pageBytes = 4096;
/** Hashed in one go before others get a turn. */
const pagesATurn = 512;

/** What tells a page from every other: who can write into a service's memory must not be able to make two alike. */
const keyOf = (page: Buffer): string => hash('sha256', page, 'base64');

/**
 * The files of a directory one after another in the order of their names, each filled up to whole pages. Both ends
 * of a move have the same directory and so the same numbers for its pages.
 * @throws Error when a file cannot be read.
 */
export function readBase(directory: string): Buffer {
  const files = readdirSync(directory).sort();
  const parts = files.map((name) => {
    const file = openSync(join(directory, name), 'r');
    try {
      const { size } = fstatSync(file);
      const part = Buffer.alloc(Math.ceil(size / pageBytes) * pageBytes);
      for (let done = 0; done < size; ) {
        const read = readSync(file, part, done, size - done, done);
        if (read === 0) throw new Error(`${name} became shorter while it was read`);
        done += read;
      }
      return part;
    } finally {
      closeSync(file);
    }
  });
  return Buffer.concat(parts);
}

/** The sender's side of a base: which of its pages have a given content. */
export class PageIndex {
  readonly #byKey = new Map<string, number>();

  /** @throws Error of {@link readBase}; an AbortError when `signal` fires. */
  static async of(directory: string, signal: AbortSignal): Promise<PageIndex> {
    const base = readBase(directory);
    const index = new PageIndex();
    for (let page = 0; page * pageBytes < base.length; page += 1) {
      const key = keyOf(base.subarray(page * pageBytes, (page + 1) * pageBytes));
      if (!index.#byKey.has(key)) index.#byKey.set(key, page);
      if (page % pagesATurn !== pagesATurn - 1) continue;
      await turn();
      signal.throwIfAborted();
    }
    return index;
  }

  /** The number of a page with this content; undefined when there is none. */
  find(page: Buffer): number | undefined {
    return this.#byKey.get(keyOf(page));
  }
}
