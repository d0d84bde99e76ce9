import fs from 'node:fs';
import path from 'node:path';
import { MoveError } from '../../runtime/errors.ts';

export interface FileToWrite {
  path: string;
  content: string | Buffer;
  mode: number;
}

/** A file name that every system takes. */
export function fileNameOf(name: string): string {
  const safe = name
    .normalize('NFKD')
    .replaceAll(/[^\w.-]+/g, '-')
    .replaceAll(/^[-.]+|[-.]+$/g, '');
  return safe || 'credential';
}

/**
 * Makes sure that files can be written, before something is issued that would then have nowhere to go.
 * @throws MoveError `FILE_EXISTS` when one is there already, `DIRECTORY_UNUSABLE` when it cannot be made.
 */
export function prepareFiles(directory: string, files: readonly string[]): void {
  try {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    fs.accessSync(directory, fs.constants.W_OK);
  } catch (cause) {
    throw new MoveError(
      'DIRECTORY_UNUSABLE',
      `Nothing can be written to ${directory}: ${(cause as Error).message}. Choose another --out.`,
      { directory },
      cause,
    );
  }
  const taken = files.find((file) => fs.existsSync(file));
  if (taken !== undefined)
    throw new MoveError(
      'FILE_EXISTS',
      `${taken} exists already and is not overwritten. Choose another --out or --name, or move it away.`,
      { file: taken },
    );
}

/** Writes all files, or none: what was written is removed again when one fails. */
export function writeFiles(files: readonly FileToWrite[]): void {
  const written: string[] = [];
  try {
    for (const file of files) {
      const handle = fs.openSync(file.path, 'wx', file.mode);
      written.push(file.path);
      try {
        fs.writeFileSync(handle, file.content);
        fs.fsyncSync(handle);
      } finally {
        fs.closeSync(handle);
      }
    }
  } catch (cause) {
    for (const file of written) fs.rmSync(file, { force: true });
    throw new MoveError(
      'WRITE_FAILED',
      `The files could not be written: ${(cause as Error).message}. Revoke what was issued and try again.`,
      { files: files.map((file) => path.basename(file.path)) },
      cause,
    );
  }
}

/** Puts a public file in place of the one before, at once or not at all. */
export function replaceFile(file: string, content: string): void {
  const aside = `${file}.${process.pid}.new`;
  writeFiles([{ path: aside, content, mode: 0o644 }]);
  fs.renameSync(aside, file);
}
