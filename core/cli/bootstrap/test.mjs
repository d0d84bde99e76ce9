// npm test: set up, then run every check and every test, and count them. A stage that fails does not stop
// the next one. The last line is exactly "N passed, N failed, N skipped"; the exit code is 1 when anything
// failed. Arguments: --yes, --only STAGE[,STAGE...] to run some stages, and --long for the runs that take too
// long for every day and nothing else.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { projectRoot } from './paths.mjs';
import { prepare } from './prepare.mjs';
import { runLoud } from './run.mjs';
import { firstLine } from './vitest-tally.mjs';

const args = process.argv.slice(2);
const binaries = path.join(projectRoot, 'node_modules/.bin');
const present = (/** @type {string} */ file) => fs.existsSync(path.join(projectRoot, file));
const work = fs.mkdtempSync(path.join(os.tmpdir(), 'move-test-'));

/** @typedef {{name: string, why: string}} Named */
/** @typedef {{passed: number, failed: number, skipped: Named[], failures: Named[]}} Tally */

const emptyTally = () => ({
  passed: 0,
  failed: 0,
  skipped: /** @type {Named[]} */ ([]),
  failures: /** @type {Named[]} */ ([]),
});

/** @returns {Promise<number>} */
function run(
  /** @type {string} */ program,
  /** @type {string[]} */ argv,
  /** @type {NodeJS.ProcessEnv} */ env = {},
) {
  return runLoud(path.join(binaries, program), argv, {
    cwd: projectRoot,
    timeoutMs: args.includes('--long') ? 60 * 60_000 : 55 * 60_000,
    env: { ...process.env, PATH: `${binaries}${path.delimiter}${process.env.PATH ?? ''}`, ...env },
  });
}

/** A check counts as one test. @returns {Promise<Tally>} */
async function check(/** @type {string} */ program, /** @type {string[]} */ argv) {
  const status = await run(program, argv);
  if (status === 0) return { ...emptyTally(), passed: 1 };
  return { ...emptyTally(), failed: 1, failures: [{ name: program, why: `ended with code ${status}` }] };
}

/** @returns {Promise<Tally>} */
async function vitest(/** @type {string} */ config) {
  const file = path.join(work, `${path.basename(config)}.json`);
  const reporter = path.join(projectRoot, 'core/cli/bootstrap/vitest-tally.mjs');
  const argv = [
    'run',
    '--config',
    config,
    '--passWithNoTests',
    '--reporter=default',
    `--reporter=${reporter}`,
  ];
  const status = await run('vitest', argv, { MOVE_TALLY: file });
  const tally = readJson(file) ?? { ...emptyTally(), complete: false };
  if (!tally.complete || (status !== 0 && tally.failed === 0)) countCrash(tally, config, status);
  return tally;
}

/** @returns {Promise<Tally>} */
async function playwright(/** @type {string} */ config) {
  const file = path.join(work, `${config.replaceAll('/', '-')}.json`);
  const status = await run('playwright', ['test', '--config', config, '--reporter=line,json'], {
    PLAYWRIGHT_JSON_OUTPUT_FILE: file,
  });
  const report = readJson(file);
  const tally = emptyTally();
  for (const suite of report?.suites ?? []) countPlaywright(suite, [], tally);
  if (!report || (status !== 0 && tally.failed === 0)) countCrash(tally, config, status);
  return tally;
}

/** A run that crashed, or failed without a failed test, is a failure of its own. */
function countCrash(/** @type {Tally} */ tally, /** @type {string} */ config, /** @type {number} */ status) {
  tally.failed++;
  tally.failures.push({ name: config, why: `the run ended with code ${status}` });
}

function countPlaywright(
  /** @type {any} */ suite,
  /** @type {string[]} */ above,
  /** @type {Tally} */ tally,
) {
  const names = [...above, suite.title];
  for (const spec of suite.specs ?? []) {
    for (const test of spec.tests) {
      const name = [...names, spec.title].join(' > ');
      if (test.status === 'skipped') {
        const why = test.annotations?.find((/** @type {any} */ each) => each.type === 'skip')?.description;
        tally.skipped.push({ name, why: why ?? 'no reason given' });
      } else if (test.status === 'unexpected') {
        tally.failed++;
        tally.failures.push({ name, why: firstLine(test.results.at(-1)?.error?.message) });
      } else tally.passed++;
    }
  }
  for (const child of suite.suites ?? []) countPlaywright(child, names, tally);
}

function readJson(/** @type {string} */ file) {
  return fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : null;
}

const layerRules = ['.dependency-cruiser.cjs', '.dependency-cruiser.mjs', '.dependency-cruiser.js'].find(
  present,
);
const roots = ['core', 'electron', 'renderer'].filter(present);

/** @type {{name: string, run: () => Promise<Tally>, when: boolean}[]} */
const stages = [
  {
    name: 'layers',
    when: layerRules !== undefined,
    run: () => check('depcruise', ['--config', layerRules ?? '', ...roots]),
  },
  { name: 'lint', when: true, run: () => check('biome', ['check', '.']) },
  { name: 'types', when: true, run: () => check('tsc', ['-p', 'tsconfig.json']) },
  {
    name: 'types of the renderer',
    when: present('renderer/tsconfig.json') && present('renderer/index.html'),
    run: () => check('tsc', ['-p', 'renderer/tsconfig.json']),
  },
  { name: 'unit', when: true, run: () => vitest('vitest.config.ts') },
  { name: 'system', when: present('vitest.system.config.ts'), run: () => vitest('vitest.system.config.ts') },
  {
    name: 'window',
    when: present('test/renderer/playwright.config.ts'),
    run: () => playwright('test/renderer/playwright.config.ts'),
  },
  { name: 'browser', when: present('playwright.config.ts'), run: () => playwright('playwright.config.ts') },
];

/** @type {typeof stages} */
const longStages = [
  { name: 'long', when: present('vitest.long.config.ts'), run: () => vitest('vitest.long.config.ts') },
];

const only = args[args.indexOf('--only') + 1]?.split(',');
const offered = args.includes('--long') ? longStages : stages;
const chosen = offered.filter(({ name, when }) => when && (!args.includes('--only') || only?.includes(name)));
const total = emptyTally();
const lines = [];
try {
  const { degraded } = await prepare({
    yes: args.includes('--yes'),
    purpose: 'run the tests',
    besides: ['test-packages'],
  });
  for (const { id, finding } of degraded) process.stderr.write(`move: without ${id}: ${finding}\n`);
  for (const stage of chosen) {
    process.stderr.write(`\nmove: ${stage.name}\n`);
    const started = Date.now();
    const tally = await stage.run();
    total.passed += tally.passed;
    total.failed += tally.failed;
    total.skipped.push(...tally.skipped);
    total.failures.push(...tally.failures);
    const seconds = ((Date.now() - started) / 1000).toFixed(1);
    lines.push(
      `${stage.name}: ${tally.passed} passed, ${tally.failed} failed, ${tally.skipped.length} skipped in ${seconds} s`,
    );
  }
} catch (error) {
  process.stderr.write(`move: ${error instanceof Error ? error.stack : error}\n`);
  total.failed++;
  total.failures.push({ name: 'set-up', why: firstLine(error instanceof Error ? error.message : error) });
} finally {
  fs.rmSync(work, { recursive: true, force: true });
}
for (const { name, why } of total.failures) lines.push(`failed: ${name} (${why})`);
for (const { name, why } of total.skipped) lines.push(`skipped: ${name} (${why})`);
lines.push(`${total.passed} passed, ${total.failed} failed, ${total.skipped.length} skipped`);
process.stdout.write(`\n${lines.join('\n')}\n`);
process.exitCode = total.failed > 0 ? 1 : 0;
