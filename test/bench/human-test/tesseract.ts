import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { letters } from '../../../core/credentials/human-test/letters.ts';
import { runProgram } from '../../../core/runtime/process.ts';

/** Pictures that one tesseract reads, one after the other. */
const batch = 100;

/** How tesseract is to take a picture: a line, a word, a single letter. */
export type PageMode = 7 | 8 | 10;

/** Tesseract's version, or null where it is not installed. */
export async function tesseractVersion(): Promise<string | null> {
  try {
    const { stdout, stderr } = await runProgram('tesseract', ['--version'], { timeoutMs: 10_000 });
    return /tesseract ([\d.]+\S*)/.exec(stdout + stderr)?.[1] ?? 'unknown';
  } catch {
    return null;
  }
}

/**
 * What tesseract reads in each of `pictures` (PNG or PGM). It is told which letters occur. Nothing is read of a
 * picture that it crashes on.
 */
export async function readAll(pictures: readonly Buffer[], mode: PageMode): Promise<string[]> {
  const directory = await mkdtemp(path.join(tmpdir(), 'move-ocr-'));
  try {
    const files = await Promise.all(
      pictures.map(async (picture, index) => {
        const file = path.join(directory, `${index}.${picture[0] === 0x89 ? 'png' : 'pgm'}`);
        await writeFile(file, picture);
        return file;
      }),
    );
    const read: string[] = [];
    for (let first = 0; first < files.length; first += batch)
      read.push(...(await readFiles(directory, files.slice(first, first + batch), mode)));
    return read;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function readFiles(directory: string, files: readonly string[], mode: PageMode): Promise<string[]> {
  const list = path.join(directory, 'list.txt');
  await writeFile(list, `${files.join('\n')}\n`);
  const alphabet = letters.join('') + letters.join('').toLowerCase();
  const { code, stdout } = await runProgram(
    'tesseract',
    [list, 'stdout', '--dpi', '150', '--psm', String(mode), '-c', `tessedit_char_whitelist=${alphabet}`],
    { timeoutMs: 120_000, env: { ...process.env, OMP_THREAD_LIMIT: '1' }, maxOutputBytes: 4 << 20 },
  );
  if (code !== 0) {
    // it divides by zero now and then: find the picture, and go on without it
    if (files.length === 1) return [''];
    const middle = files.length >> 1;
    return [
      ...(await readFiles(directory, files.slice(0, middle), mode)),
      ...(await readFiles(directory, files.slice(middle), mode)),
    ];
  }
  // each picture's text ends with a form feed
  const pages = stdout.split('\f').map((page) => page.trim());
  return files.map((_, index) => pages[index] ?? '');
}
