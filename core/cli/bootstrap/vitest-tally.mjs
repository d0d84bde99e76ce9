import fs from 'node:fs';

/**
 * A vitest reporter that writes what `npm test` counts: how many tests passed and failed, and each skipped
 * test by its name with the reason it gave. MOVE_TALLY names the file.
 */
export default class Tally {
  constructor() {
    /** @type {{passed: number, failed: number, skipped: {name: string, why: string}[], complete: boolean}} */
    this.tally = { passed: 0, failed: 0, skipped: [], complete: false };
  }

  onTestRunEnd(/** @type {any[]} */ modules, /** @type {unknown[]} */ unhandled) {
    for (const module of modules) {
      for (const test of module.children.allTests()) this.count(test, module.relativeModuleId);
      // a file that could not be loaded, or whose hooks failed, has failed even where no test in it ran
      if (module.errors().length > 0) this.tally.failed++;
      for (const suite of module.children.allSuites()) if (suite.errors().length > 0) this.tally.failed++;
    }
    this.tally.failed += unhandled.length;
    this.tally.complete = true;
    const file = process.env.MOVE_TALLY;
    if (file) fs.writeFileSync(file, JSON.stringify(this.tally));
  }

  count(/** @type {any} */ test, /** @type {string} */ file) {
    const result = test.result();
    if (result.state === 'passed') this.tally.passed++;
    else if (result.state === 'failed') this.tally.failed++;
    else {
      const name = `${file} > ${test.fullName}`;
      // a reason stands in the skip call, or in brackets at the end of the suite's name
      const bracketed = /\(([^()]+)\)(?: > |$)/.exec(test.fullName)?.[1];
      this.tally.skipped.push({ name, why: result.note ?? bracketed ?? 'no reason given' });
    }
  }
}
