import { defineConfig } from '@playwright/test';
import { browserUse } from './test/support/chromium.ts';

/** Browser tests drive the real console over the real core and one real lab. */
export default defineConfig({
  testDir: 'test/e2e',
  globalSetup: './test/e2e/bring-up.ts',
  workers: 1,
  fullyParallel: false,
  timeout: 120_000,
  globalTimeout: 8 * 60_000,
  expect: { timeout: 15_000 },
  reporter: [['list']],
  outputDir: 'test-results/e2e',
  use: { ...browserUse, trace: 'retain-on-failure' },
});
