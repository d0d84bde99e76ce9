import { defineConfig } from 'vitest/config';

// tests that make namespaces and move processes: one file at a time, each with a lab of its own
export default defineConfig({
  test: {
    include: ['test/system/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 90_000,
    fileParallelism: false,
    maxWorkers: 1,
  },
});
