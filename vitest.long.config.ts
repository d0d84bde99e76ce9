import { defineConfig } from 'vitest/config';

// what takes too long for every day: ten drills in a row, soaks
export default defineConfig({
  test: {
    include: ['test/long/**/*.test.ts'],
    testTimeout: 20 * 60_000,
    hookTimeout: 120_000,
    fileParallelism: false,
    maxWorkers: 1,
  },
});
