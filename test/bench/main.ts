import { toMoveError } from '../../core/runtime/errors.ts';

/** Every bench: what it measures, and where its `run` is. */
const benches: Readonly<Record<string, { what: string; load: () => Promise<Bench> }>> = {
  path: {
    what: 'requests through the overlay beside a chain of the same legs made of HAProxy, on loopback',
    load: () => import('./path.ts'),
  },
  move: {
    what: "the paper's moves (its table 2 and figures 5 to 7) in a lab, beside the same moves by stock tools",
    load: () => import('./move.ts'),
  },
  'human-test': {
    what: 'what a stock OCR solves of the human test, what a simple listener hears, and what passing costs a bot',
    load: () => import('./human-test.ts'),
  },
  'page-loads': {
    what: 'a page with its parts, by each path policy and directly, from three round trips in a lab',
    load: () => import('./page-loads.ts'),
  },
  runtime: {
    what: 'one pod checkpointed and restored by this product and by stock runc, without a network between',
    load: () => import('./runtime.ts'),
  },
  limits: {
    what: 'what honest clients of an access point notice, and what it holds, while it is attacked in ten ways',
    load: () => import('./limits.ts'),
  },
};

/** One bench: gets the words after its name and returns what it measured, with units in the names. */
interface Bench {
  run(words: string[]): Promise<{ passed: boolean } & Record<string, unknown>>;
}

/** Runs the bench that is named first and prints its result: as JSON with `--json`, else in short lines. */
async function main(words: string[]): Promise<number> {
  const [name = '', ...rest] = words;
  const bench = Object.hasOwn(benches, name) ? benches[name] : undefined;
  if (!bench) {
    process.stderr.write('Say which bench: npm run -s bench -- NAME [--json]\n');
    for (const [known, { what }] of Object.entries(benches))
      process.stderr.write(`  ${known.padEnd(12)} ${what}\n`);
    return 2;
  }
  const { run } = await bench.load();
  const result = await run(rest.filter((word) => word !== '--json'));
  process.stdout.write(
    rest.includes('--json') ? `${JSON.stringify(result)}\n` : `${inLines(result).join('\n')}\n`,
  );
  return result.passed ? 0 : 1;
}

function inLines(value: unknown, name = ''): string[] {
  if (typeof value !== 'object' || value === null) return [`${name}: ${value}`];
  return Object.entries(value).flatMap(([key, inner]) =>
    inLines(inner, name === '' ? key : `${name}.${key}`),
  );
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (thrown) {
  const { code, message } = toMoveError(thrown);
  process.stderr.write(`${code}: ${message}\n`);
  process.exitCode = 1;
}
