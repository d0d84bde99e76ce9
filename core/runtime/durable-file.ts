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
      () => this.#replace(text),
      () => this.#replace(text),
    );
    this.#writing = next;
    return next;
  }

  async #replace(text: string): Promise<void> {
    const aside = `${this.#path}.part`;
    const file = await open(aside, 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(aside, this.#path);
    const folder = await open(dirname(this.#path), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}
