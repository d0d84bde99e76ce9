import fs from 'node:fs/promises';
import path from 'node:path';

const mediaTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.woff': 'font/woff',
};

export interface StaticFile {
  path: string;
  mediaType: string;
  bytes: number;
  /** `no-store` for pages; files under /assets/ carry a hash in their name and never change. */
  cacheControl: string;
}

/**
 * Finds the file of the built renderer that a URL's path names, `/` being index.html. Answers null for
 * whatever is not a regular file of a known type below the directory, links that lead out included.
 */
export async function findStaticFile(directory: string, urlPath: string): Promise<StaticFile | null> {
  let decoded: string;
  try {
    decoded = decodeURIComponent(urlPath);
  } catch {
    return null;
  }
  if (!decoded.startsWith('/') || decoded.includes('\0') || decoded.includes('\\')) return null;
  const segments = decoded.slice(1).split('/');
  if (segments.some((segment) => segment.startsWith('.'))) return null;
  const name = decoded === '/' ? 'index.html' : segments.join('/');
  const mediaType = mediaTypes[path.extname(name)];
  if (mediaType === undefined) return null;
  try {
    const root = await fs.realpath(directory);
    const found = await fs.realpath(path.join(root, name));
    if (!found.startsWith(root + path.sep)) return null;
    const status = await fs.stat(found);
    if (!status.isFile()) return null;
    const cacheControl =
      name.startsWith('assets/') && !name.endsWith('.html')
        ? 'private, max-age=31536000, immutable'
        : 'no-store';
    return { path: found, mediaType, bytes: status.size, cacheControl };
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ENAMETOOLONG' || code === 'EACCES') return null;
    throw thrown;
  }
}
