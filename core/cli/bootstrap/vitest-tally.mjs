import fs from 'node:fs';
import { stripVTControlCharacters } from 'node:util';

/** The first line of what a failure says, without its colours. @returns {string} */
export function firstLine(/** @type {unknown} */ message) {
  const line = String(message ?? 'no message').split('\n', 1)[0] ?? '';
  return stripVTControlCharacters(line).trim();
}

/**
 * A vitest reporter that writes what `npm test` counts: how many tests passed and failed, and each
 * skipped or failed test by its name with the reason it gave. MOVE_TALLY names the file.
 */
export default class Tally {
  constructor() {
    /** @type {{passed: number, failed: number, skipped: {name: string, why: string}[], failures: {name: string, why: string}[], complete: boolean}} */
    this.tally = { passed: 0, failed: 0, skipped: [], failures: [], complete: false };
  }

  onTestRunEnd(/** @type {any[]} */ modules, /** @type {unknown[]} */ unhandled) {
    for (const module of modules) {
      for (const test of module.children.allTests()) this.count(test, module.relativeModuleId);
      // a file that could not be loaded, or whose hooks failed, has failed even where no test in it ran
      if (module.errors().length > 0) this.fail(module.relativeModuleId, module.errors());
      for (const suite of module.children.allSuites()) {
        if (suite.errors().length > 0)
          this.fail(`${module.relativeModuleId} > ${suite.fullName}`, suite.errors());
      }
    }
    for (const error of unhandled) this.fail('an error that nobody handled', [error]);
    this.tally.complete = true;
    const file = process.env.MOVE_TALLY;
    if (file) fs.writeFileSync(file, JSON.stringify(this.tally));
  }

  fail(/** @type {string} */ name, /** @type {readonly any[]} */ errors) {
    this.tally.failed++;
    this.tally.failures.push({ name, why: firstLine(errors[0]?.message) });
  }

  count(/** @type {any} */ test, /** @type {string} */ file) {
    const result = test.result();
    if (result.state === 'passed') this.tally.passed++;
    else if (result.state === 'failed') this.fail(`${file} > ${test.fullName}`, result.errors);
    else {
      const name = `${file} > ${test.fullName}`;
      // a reason stands in the skip call, or in brackets at the end of the suite's name
      const bracketed = /\(([^()]+)\)(?: > |$)/.exec(test.fullName)?.[1];
      this.tally.skipped.push({ name, why: result.note ?? bracketed ?? 'no reason given' });
    }
  }
}
