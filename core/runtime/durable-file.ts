import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { z } from 'zod';
import { MoveError } from './errors.ts';

/**
 * A small JSON document that survives any kind of end of its process: written aside, flushed, renamed.
 */
export class DurableFile<T> {
  readonly #path: string;
  readonly #schema: z.ZodType<T>;
  #writing: Promise<void> = Promise.resolve();

  constructor(path: string, schema: z.ZodType<T>) {
    this.#path = path;
    this.#schema = schema;
  }

  /** What was written last; `empty` when nothing was. @throws MoveError `STATE_FILE_DAMAGED`. */
  async read(empty: T): Promise<T> {
    let text: string;
    try {
      text = await readFile(this.#path, 'utf8');
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return empty;
      throw cause;
    }
    try {
      return this.#schema.parse(JSON.parse(text));
    } catch (cause) {
      throw new MoveError(
        'STATE_FILE_DAMAGED',
        `The file ${this.#path} cannot be read as what it should hold.`,
        {},
        cause,
      );
    }
  }

  /** Returns when the value is on disk. Writes happen in the order of the calls. */
  write(value: T): Promise<void> {
    const text = JSON.stringify(value);
    const next = this.#writing.then(
      () => replaceDurably([{ path: this.#path, content: text }]),
      () => replaceDurably([{ path: this.#path, content: text }]),
    );
    this.#writing = next;
    return next;
  }
}

/** How a file is called while it is being written, before it takes the place of the one before. */
export const asideOf = (path: string): string => `${path}.part`;

/**
 * Puts files in place of those before, each at once or not at all, readable by their owner only. All of them are on
 * disk before the first one is put in place, and they are put in place in the order given.
 */
export async function replaceDurably(
  files: readonly { path: string; content: string | Buffer }[],
): Promise<void> {
  for (const { path, content } of files) {
    const file = await open(asideOf(path), 'w', 0o600);
    try {
      await file.chmod(0o600);
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
  }
  for (const { path } of files) await rename(asideOf(path), path);
  for (const path of new Set(files.map((file) => dirname(file.path)))) {
    const folder = await open(path, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}
