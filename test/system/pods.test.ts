import { describe, it } from 'vitest';
import { podRuntimeSuite } from '../compliance/pod-runtime/suite.ts';
import { openCriuHarness, podObstacle } from './pods/criu-harness.ts';

const obstacle = podObstacle();

if (obstacle === undefined) podRuntimeSuite('CRIU pod runtime', openCriuHarness);
else
  describe('CRIU pod runtime', () =>
    it.skip(`carries pods between two sites (skipped: ${obstacle})`, () => undefined));
