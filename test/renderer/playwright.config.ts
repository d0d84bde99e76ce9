import { defineConfig } from '@playwright/test';
import { browserUse } from '../support/chromium.ts';

/** Browser tests of the window over a double of the contract; `npm run build` first. */
export default defineConfig({
  testDir: '.',
  testMatch: '*.spec.ts',
  outputDir: '../../test-results/renderer',
  timeout: 30_000,
  expect: { timeout: 10_000 },
  workers: 1,
  fullyParallel: false,
  reporter: 'list',
  use: browserUse,
});
