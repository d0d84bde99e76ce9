// npm start: set up, then open the console.
import path from 'node:path';
import { handOver } from './launch.mjs';
import { distDirectory } from './paths.mjs';
import { prepare } from './prepare.mjs';

const args = process.argv.slice(2);
try {
  const { node } = await prepare({ yes: args.includes('--yes'), purpose: 'open the console and its lab' });
  handOver(node, [path.join(distDirectory, 'cli.mjs'), 'start', ...args]);
} catch (error) {
  process.stderr.write(`move: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
