import { createCipheriv } from 'node:crypto';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** Bytes of the large sample file: a download long enough for a move to fall into it. */
export const catalogueBytes = 8 * 1024 * 1024;
/** Bytes of the small sample file, the page size that latencies are compared with. */
export const leafletBytes = 10 * 1024;

/** The large sample file: random-looking, and the same bytes on every machine. */
export function catalogue(): Buffer {
  const cipher = createCipheriv(
    'aes-256-ctr',
    Buffer.alloc(32, 'catalogue of shop.example'),
    Buffer.alloc(16),
  );
  return cipher.update(Buffer.alloc(catalogueBytes));
}

/** The small sample file: numbered lines, so that a wrong byte shows where it is. */
export function leaflet(): Buffer {
  const line = (n: number) => `${String(n).padStart(4, '0')} Honest lamps, mended chairs, and tea at four.\n`;
  let text = '';
  for (let n = 1; text.length < leafletBytes; n++) text += line(n);
  return Buffer.from(text.slice(0, leafletBytes));
}

/** Bytes of the stock list: to compress it costs a web server some 70 ms, and what comes of it is a sixth of its size. */
export const stockListBytes = 1024 * 1024;

/** The stock list: for each lamp whether it is there. A web server compresses it anew for each who asks. */
export function stockList(): Buffer {
  const drawn = catalogue();
  const list = Buffer.alloc(stockListBytes, '-');
  for (let lamp = 0; lamp < list.length; lamp++)
    if ((drawn[lamp >> 3] ?? 0) & (1 << (lamp & 7))) list[lamp] = 'x'.charCodeAt(0);
  return list;
}

/** Lays a sample document root out in `directory`: the files of `sample`, and the three generated ones. */
export async function layOutStorage(sample: string, directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o755 });
  await cp(sample, directory, { recursive: true });
  await writeFile(path.join(directory, 'catalogue.bin'), catalogue());
  await writeFile(path.join(directory, 'leaflet.txt'), leaflet());
  await writeFile(path.join(directory, 'stock.txt'), stockList());
}
