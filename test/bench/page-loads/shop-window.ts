import { createHash } from 'node:crypto';

export interface PageFile {
  path: string;
  content: Buffer;
}

/** What a browser asks for in one page: as many parts, of about the size, as a small shop's page has. */
const parts = [
  ...[5_000, 8_000].map((bytes, n) => ({ name: `style-${n}.css`, bytes })),
  ...[9_000, 14_000].map((bytes, n) => ({ name: `script-${n}.js`, bytes })),
  ...Array.from({ length: 7 }, (_, n) => ({ name: `goods-${n}.svg`, bytes: 4_000 + 700 * n })),
];

/** The page and its parts, the same bytes on every machine; text that does not compress to nothing. */
export function shopWindow(): PageFile[] {
  const tag = (name: string) => {
    if (name.endsWith('.css')) return `<link rel="stylesheet" href="${name}">`;
    return name.endsWith('.js') ? `<script src="${name}" defer></script>` : `<img src="${name}" alt="">`;
  };
  const html = `<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Shop window</title></head><body>\n${parts
    .map(({ name }) => tag(name))
    .join('\n')}\n<!-- ${filler('page', 6_000)} -->\n</body></html>\n`;
  return [
    { path: 'index.html', content: Buffer.from(html) },
    ...parts.map(({ name, bytes }) => ({ path: name, content: Buffer.from(`/* ${filler(name, bytes)} */`) })),
  ];
}

function filler(seed: string, bytes: number): string {
  let text = '';
  for (let n = 0; text.length < bytes; n += 1)
    text += createHash('sha256').update(`${seed} ${n}`).digest('hex');
  return text.slice(0, bytes);
}
