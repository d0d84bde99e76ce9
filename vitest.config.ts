import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/{unit,compliance,simulation}/**/*.test.ts'],
    testTimeout: 20_000,
    maxWorkers: 2,
  },
});
