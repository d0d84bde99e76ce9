import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { z } from 'zod';
import { MoveError } from '../../runtime/errors.ts';

const pageSchema = z.object({
  status: z.number().int(),
  headers: z.array(z.tuple([z.string(), z.string()])),
  bodyBase64: z.string(),
});

/** What strangers were answered by a service that answers HTTP: some of its public pages, and how it says "not found". */
export const pictureSchema = z.object({
  service: z.string(),
  takenAt: z.number().describe('milliseconds since the epoch'),
  pages: z.record(z.string(), pageSchema),
  notFound: pageSchema,
});
export type Picture = z.infer<typeof pictureSchema>;
type Page = z.infer<typeof pageSchema>;

/** Bounds of one picture. */
export const pictureBounds = { pages: 24, pageBytes: 256 << 10, allBytes: 1 << 20, pageMs: 3_000 } as const;

/** What says something about one connection or one person only, or is written anew with each answer. */
const notKept = new Set([
  'connection',
  'content-length',
  'date',
  'keep-alive',
  'set-cookie',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/**
 * Asks a service as a stranger would, without a certificate or a cookie, for its first page, what that page refers to
 * on the same host, and something that is not there.
 * @throws MoveError `PICTURE_FAILED` when the first page is not answered.
 */
export async function takePicture(
  at: { address: string; port: number; service: string },
  now: number,
  signal: AbortSignal,
): Promise<Picture> {
  const first = await ask(at, '/', signal);
  if (!first) throw new MoveError('PICTURE_FAILED', `${at.service} did not answer a stranger.`, { ...at });
  const pages: Record<string, Page> = { '/': first };
  let bytes = sizeOf(first);
  for (const path of linksOf(first, at.service)) {
    if (Object.keys(pages).length >= pictureBounds.pages || signal.aborted) break;
    if (pages[path]) continue;
    const page = await ask(at, path, signal);
    if (page?.status !== 200 || bytes + sizeOf(page) > pictureBounds.allBytes) continue;
    bytes += sizeOf(page);
    pages[path] = page;
  }
  const missing = await ask(at, `/${randomBytes(12).toString('hex')}`, signal);
  const notFound = missing ?? { status: 404, headers: [], bodyBase64: '' };
  return { service: at.service, takenAt: now, pages, notFound };
}

const sizeOf = (page: Page) => page.bodyBase64.length * 0.75;

/** Paths on the same host that a page of HTML refers to. */
export function linksOf(page: Page, service: string): string[] {
  const type = page.headers.find(([name]) => name.toLowerCase() === 'content-type')?.[1] ?? '';
  if (!type.startsWith('text/html')) return [];
  const base = new URL(`http://${service}/`);
  const text = Buffer.from(page.bodyBase64, 'base64').toString('utf8');
  const found = new Set<string>();
  for (const [, link = ''] of text.matchAll(/\b(?:src|href)\s*=\s*["']([^"'#]{1,512})/gi)) {
    const url = URL.parse(link, base.href);
    if (url?.host === base.host && url.protocol === 'http:') found.add(url.pathname + url.search);
  }
  return [...found];
}

/** One answer, or null when none came whole, in time and within the bounds. */
function ask(
  at: { address: string; port: number; service: string },
  path: string,
  signal: AbortSignal,
): Promise<Page | null> {
  return new Promise((resolve) => {
    const asked = request({
      host: at.address,
      port: at.port,
      path,
      headers: { Host: at.service, 'User-Agent': 'Mozilla/5.0', Accept: '*/*', Connection: 'close' },
      agent: false,
      signal: AbortSignal.any([signal, AbortSignal.timeout(pictureBounds.pageMs)]),
    });
    asked.on('error', () => resolve(null));
    asked.on('response', (answer) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      answer.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > pictureBounds.pageBytes) {
          resolve(null);
          asked.destroy();
        } else chunks.push(chunk);
      });
      answer.on('error', () => resolve(null));
      answer.on('close', () => {
        if (!answer.complete) return resolve(null);
        const headers: [string, string][] = [];
        for (let index = 0; index + 1 < answer.rawHeaders.length; index += 2) {
          const name = answer.rawHeaders[index] ?? '';
          if (!notKept.has(name.toLowerCase())) headers.push([name, answer.rawHeaders[index + 1] ?? '']);
        }
        resolve({
          status: answer.statusCode ?? 0,
          headers,
          bodyBase64: Buffer.concat(chunks).toString('base64'),
        });
      });
    });
    asked.end();
  });
}
