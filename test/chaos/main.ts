import { parseArgs } from 'node:util';
import { toMoveError } from '../../core/runtime/errors.ts';
import { runMoves } from './moves.ts';

const usage =
  'Say what shall be disturbed: npm run -s chaos -- moves [--runs 100] [--seed 1] [--only FAULT]\n';

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: {
      runs: { type: 'string', default: '100' },
      seed: { type: 'string', default: '1' },
      only: { type: 'string' },
      yes: { type: 'boolean' },
    },
    allowPositionals: true,
  });
  const [runs, seed] = [Number(values.runs), Number(values.seed)];
  if (
    positionals[0] !== 'moves' ||
    !Number.isInteger(runs) ||
    runs < 1 ||
    !Number.isInteger(seed) ||
    seed < 0
  ) {
    process.stderr.write(usage);
    return 2;
  }
  const result = await runMoves({
    runs,
    seed,
    only: values.only,
    say: (line) => process.stderr.write(`${line}\n`),
  });
  process.stdout.write(`${JSON.stringify(result)}\n`);
  return result.passed ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (thrown) {
  const { code, message } = toMoveError(thrown);
  process.stderr.write(`${code}: ${message}\n`);
  process.exitCode = 1;
}
