import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { attacks } from '../bench/limits/attacks.ts';
import { attackAll, failuresAllowed } from '../bench/limits.ts';
import { gatewayObstacle } from '../compliance/pod-runtime/gateway-fixture.ts';
import { cliProgram } from './world/control-process.ts';

const why =
  gatewayObstacle() ??
  (existsSync(cliProgram) ? undefined : 'the product is not built') ??
  (existsSync('/usr/sbin/apache2') ? undefined : 'there is no Apache');

// Times are those of a machine that does other things beside; npm run bench -- limits measures them.
it.skipIf(why !== undefined)(
  `an access point that is attacked in ten ways serves its honest clients and does not grow${why ? ` (${why})` : ''}`,
  async () => {
    const { results } = await attackAll(Object.keys(attacks), 1_200);
    expect(results.map(({ attack }) => attack)).toEqual(Object.keys(attacks));
    for (const { attack, attempts, requests, failures, memoryGrowthMegabytes, ...noticed } of results) {
      expect(attempts, attack).toBeGreaterThan(10);
      expect(failures, `${attack}: ${noticed.reasons}`).toBeLessThanOrEqual(
        failuresAllowed({ attack, requests }),
      );
      expect(memoryGrowthMegabytes, attack).toBeLessThan(96);
      expect(noticed.keepAliveP99Ms, attack).toBeLessThan(1_500);
      expect(noticed.newConnectionP99Ms, attack).toBeLessThan(1_500);
      expect(noticed.newLinkP99Ms, attack).toBeLessThan(2_500);
    }
  },
  90_000,
);
