// npm run -s chaos -- NAME: set up quietly, then let faults loose in a lab of its own. stdout is the result's.
import path from 'node:path';
import { handOver } from './launch.mjs';
import { projectRoot } from './paths.mjs';
import { prepare } from './prepare.mjs';

try {
  const { node } = await prepare({
    yes: process.argv.includes('--yes'),
    purpose: 'disturb moves',
    besides: ['test-packages'],
  });
  handOver(node, [path.join(projectRoot, 'test/chaos/main.ts'), ...process.argv.slice(2)]);
} catch (error) {
  process.stderr.write(`move: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
