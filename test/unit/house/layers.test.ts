import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

interface Violation {
  from: string;
  to: string;
  rule: { name: string };
}

/** One wrong import per line: the file, what it imports, the rule that must object. */
const wrong = [
  ['core/runtime/up.ts', 'core/agent/end.ts', 'imports-of-runtime'],
  ['core/contract/up.ts', 'core/runtime/end.ts', 'imports-of-contract'],
  ['core/ring/sideways.ts', 'core/overlay/end.ts', 'imports-of-ring'],
  ['core/pods/sideways.ts', 'core/sites/end.ts', 'imports-of-pods'],
  ['core/lab/sideways.ts', 'core/drills/end.ts', 'imports-of-lab'],
  ['core/moves/sideways.ts', 'core/fleet/end.ts', 'imports-of-moves'],
  ['core/agent/sideways.ts', 'core/control/end.ts', 'imports-of-agent'],
  ['core/control/up.ts', 'core/cli/end.ts', 'imports-of-control'],
  ['core/moves/window.ts', 'renderer/end.ts', 'core-knows-no-shell'],
  ['electron/deep.ts', 'core/pods/end.ts', 'imports-of-electron'],
  ['renderer/deep.ts', 'core/control/end.ts', 'imports-of-renderer'],
  ['renderer/shell.ts', 'electron/end.ts', 'shells-know-not-each-other'],
  ['core/moves/test.ts', 'test/end.ts', 'product-imports-no-test'],
  ['core/agent/roomless.ts', 'core/odds/end.ts', 'every-file-has-a-room'],
  ['core/cli/bootstrap/late.ts', 'core/runtime/end.ts', 'set-up-stands-alone'],
  ['core/cli/early.ts', 'core/cli/bootstrap/end.ts', 'only-set-up-knows-set-up'],
] as const;

/** Imports that the layers, or a listed reason, allow. */
const right = [
  ['core/overlay/a.ts', 'core/ring/end.ts'],
  ['core/overlay/b.ts', 'core/credentials/end.ts'],
  ['core/sites/a.ts', 'core/pods/end.ts'],
  ['core/replicas/a.ts', 'core/moves/end.ts'],
  ['core/drills/a.ts', 'core/lab/end.ts'],
  ['core/cli/a.ts', 'core/measure/end.ts'],
  ['core/agent/a.ts', 'core/contract/end.ts'],
  ['core/runtime/a.ts', 'core/contract/end.ts'],
  ['electron/a.ts', 'core/control/end.ts'],
  ['renderer/a.ts', 'core/contract/end.ts'],
] as const;

describe('the layer rule', () => {
  let root: string;
  let violations: Violation[];

  function write(file: string, text: string): void {
    const target = path.join(root, file);
    mkdirSync(path.dirname(target), { recursive: true });
    writeFileSync(target, text);
  }

  const found = (from: string) =>
    violations.filter((each) => each.from === from).map(({ rule }) => rule.name);

  beforeAll(() => {
    root = mkdtempSync(path.join(os.tmpdir(), 'move-layers-'));
    for (const [from, to] of [...wrong, ...right]) {
      write(to, 'export type End = 1;\n');
      const way = path.relative(path.dirname(from), to);
      write(
        from,
        `import type { End } from '${way.startsWith('.') ? way : `./${way}`}';\nexport type Own = End;\n`,
      );
    }
    write('core/journal/one.ts', `import { two } from './two.ts';\nexport const one = () => two;\n`);
    write('core/journal/two.ts', `import { one } from './one.ts';\nexport const two = () => one;\n`);
    write('core/journal/node.ts', `import fs from 'node:fs';\nexport default fs;\n`);
    write('core/contract/node.ts', `import fs from 'node:fs';\nexport default fs;\n`);
    write('renderer/node.ts', `export const later = () => import('node:net');\n`);
    write('core/measure/lost.ts', `export * from './nowhere.ts';\n`);
    const program = path.resolve('node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
    const config = path.resolve('.dependency-cruiser.cjs');
    const { stdout } = spawnSync(
      process.execPath,
      [program, '--config', config, '--output-type', 'json', 'core', 'electron', 'renderer'],
      { cwd: root, encoding: 'utf8', timeout: 60_000, maxBuffer: 64 << 20 },
    );
    violations = (JSON.parse(stdout) as { summary: { violations: Violation[] } }).summary.violations;
  }, 70_000);

  afterAll(() => rmSync(root, { recursive: true, force: true }));

  it.each(wrong)('objects to %s importing %s', (from, _to, rule) => {
    expect(found(from)).toContain(rule);
  });

  it.each(right)('lets %s import %s', (from) => {
    expect(found(from)).toEqual([]);
  });

  it('objects to cycles', () => {
    expect(found('core/journal/one.ts')).toEqual(['no-cycles']);
  });

  it('keeps Node out of the browser', () => {
    expect(found('core/contract/node.ts')).toEqual(['views-know-no-node']);
    expect(found('renderer/node.ts')).toEqual(['views-know-no-node']);
    expect(found('core/journal/node.ts')).toEqual([]);
  });

  it('objects to an import that leads nowhere', () => {
    expect(found('core/measure/lost.ts')).toEqual(['resolvable']);
  });
});
