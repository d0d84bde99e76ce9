// npm run -s bench -- NAME: set up quietly with what benches compare with, then measure. stdout is the result's.
import path from 'node:path';
import { handOver } from './launch.mjs';
import { projectRoot } from './paths.mjs';
import { prepare } from './prepare.mjs';

try {
  const { node } = await prepare({
    yes: process.argv.includes('--yes'),
    purpose: 'measure',
    besides: ['test-packages', 'bench-packages'],
  });
  handOver(node, [path.join(projectRoot, 'test/bench/main.ts'), ...process.argv.slice(2)]);
} catch (error) {
  process.stderr.write(`move: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
