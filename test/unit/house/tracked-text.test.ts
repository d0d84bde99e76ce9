import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

/** Directories that .gitignore keeps out, and git's own. */
const untracked = new Set([
  '.git',
  'node_modules',
  'dist',
  'release',
  'coverage',
  'test-results',
  'playwright-report',
]);
const binary = /\.(png|jpe?g|ico|woff2?|gz|zst)$/;

function textFiles(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    if (untracked.has(entry.name)) return [];
    const file = path.join(directory, entry.name);
    if (entry.isDirectory()) return textFiles(file);
    return entry.isFile() && !binary.test(entry.name) ? [file] : [];
  });
}

const files = textFiles('.');

/** Every place where `pattern` matches, as `file:line: match`, so that a failure says what to change. */
function places(pattern: RegExp, among = files): string[] {
  return among.flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((line, index) => {
        const match = pattern.exec(line);
        return match ? [`${file}:${index + 1}: ${match[0]}`] : [];
      }),
  );
}

// put together from parts, so that this file does not find itself
const registryHosts = new RegExp(
  ['npm' + 'js', 'npm' + 'mirror', 'yarn' + 'pkg', 'registry' + '\\.\\w'].join('|'),
);
const machinePaths = new RegExp(
  `(?<![\\w.}-])/(?:${['work/', 'home/\\w+', 'Users/\\w+', 'root/\\w+'].join('|')})`,
);
const unfinished = new RegExp(`\\b(?:${['TO' + 'DO', 'FIX' + 'ME'].join('|')})\\b`);

describe('what stands in the repository', () => {
  it('is read at all', () => {
    expect(files).toEqual(expect.arrayContaining(['package.json', 'core/contract/contract.ts']));
  });

  it('names no registry', () => {
    expect(places(registryHosts)).toEqual([]);
  });

  it('names no directory of somebody’s machine', () => {
    expect(places(machinePaths)).toEqual([]);
  });

  it('is finished', () => {
    expect(places(unfinished)).toEqual([]);
  });

  it('locks packages without the addresses they came from', () => {
    const lock: unknown = JSON.parse(readFileSync('package-lock.json', 'utf8'));
    const packages = (lock as { packages: Record<string, { resolved?: string }> }).packages;
    expect(Object.keys(packages).length).toBeGreaterThan(1);
    // links inside the checkout are resolved to a directory of it, which is no address
    expect(Object.entries(packages).filter(([, { resolved }]) => resolved !== undefined)).toEqual([]);
  });
});

describe('the patterns', () => {
  it.each([
    ['registries', registryHosts, `https://registry${'.'}example.org/zod`],
    ['a checkout', machinePaths, `see /${'work'}/main/core`],
    ['a home', machinePaths, `'/${'home'}/ada/move'`],
    ['root’s home', machinePaths, `/${'root'}/move/dist`],
    ['a note to oneself', unfinished, `// TO${'DO'}: later`],
  ])('find %s', (_, pattern, text) => {
    expect(pattern.test(text)).toBe(true);
  });

  it.each([
    '/proc/1/root/run/move',
    '/root/.ssh/authorized_keys',
    'worktree/work/shop',
    'HOME=/root PATH=/bin',
  ])('leave %s alone', (text) => {
    expect(machinePaths.test(text)).toBe(false);
  });
});
