// npm run -s move -- ARGS: set up quietly, then run the move command. stdout belongs to the command.
import path from 'node:path';
import { handOver } from './launch.mjs';
import { distDirectory } from './paths.mjs';
import { prepare } from './prepare.mjs';

const args = process.argv.slice(2);
try {
  const end = args.indexOf('--');
  const own = end === -1 ? args : args.slice(0, end);
  const { node } = await prepare({ yes: own.includes('--yes'), purpose: 'run the move command' });
  handOver(node, [path.join(distDirectory, 'cli.mjs'), ...args]);
} catch (error) {
  process.stderr.write(`move: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
