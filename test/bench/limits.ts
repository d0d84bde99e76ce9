import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AttackCounts, AttackOptions } from './limits/attacks.ts';
import { attacks } from './limits/attacks.ts';
import type { Noticed } from './limits/honest.ts';
import { askHonestly } from './limits/honest.ts';
import { watchMemory } from './limits/memory.ts';
import { issueBenchIdentities } from './path/identities.ts';
import { startOrigin } from './path/origin.ts';
import { startOverlayChain } from './path/overlay-chain.ts';
import { BenchProcesses, cpuSeconds, firstLine } from './path/processes.ts';

/** What one attack did. */
export interface UnderAttack extends Noticed, AttackCounts {
  attack: string;
  memoryGrowthMegabytes: number;
  accessPointProcessorPercent: number;
}

const attacker = fileURLToPath(new URL('limits/attacker.ts', import.meta.url));
const attackers = 2;
const addressesEach = 32;
const bars = { memoryGrowthMegabytes: 96, keepAliveP99Ms: 250, newConnectionP99Ms: 250, newLinkP99Ms: 500 };

/**
 * Attacks the access point of a real path, in every way of `attacks`, from 64 loopback addresses by two processes, while
 * honest clients ask through it; attackers run at the lowest priority, because they would have machines of their own.
 * Words: `--seconds N` for each attack (4), then names of attacks (all). `passed`: no honest request failed (of those beside sessions that
 * nobody reads, which take workers of the service itself, at most 2 %), the
 * access point grew by less than 96 MB in each, and honest p99 stayed below 250 ms, for a new link below 500 ms.
 */
export async function run(words: string[]): Promise<{ passed: boolean } & Record<string, unknown>> {
  const at = words.indexOf('--seconds');
  const seconds = at < 0 ? 4 : Number(words[at + 1]);
  const chosen = words.filter((word, index) => word !== '--seconds' && (at < 0 || index !== at + 1));
  const { quiet, results } = await attackAll(
    chosen.length > 0 ? chosen : Object.keys(attacks),
    seconds * 1000,
  );
  const passed = results.every(
    (each) =>
      each.failures <= failuresAllowed(each) &&
      Object.entries(bars).every(([name, bar]) => each[name as keyof typeof bars] < bar),
  );
  return { passed, seconds, quiet, attacks: results, bars };
}

/** Requests that may fail under an attack. */
export const failuresAllowed = ({ attack, requests }: { attack: string; requests: number }): number =>
  attack === 'unread' ? Math.floor(requests / 50) : 0;

/** Starts a path, attacks it in the named ways, one after the other, and takes it down. */
export async function attackAll(
  names: readonly string[],
  durationMs: number,
): Promise<{ quiet: Noticed; results: UnderAttack[] }> {
  const directory = mkdtempSync(join(tmpdir(), 'move-limits-'));
  chmodSync(directory, 0o755);
  const processes = new BenchProcesses();
  try {
    const origin = await startOrigin(directory, processes, {
      oneStreamMegabytes: 512,
      eachOfEightMegabytes: 1,
    });
    const identities = await issueBenchIdentities(directory);
    const { port, accessPoint } = await startOverlayChain(directory, processes, identities, origin.port);
    const honest = { port, accessPointPort: accessPoint.port, identity: identities.client };
    await askHonestly({ ...honest, durationMs: 1500 });
    const quiet = await askHonestly({ ...honest, durationMs });
    const results: UnderAttack[] = [];
    for (const attack of names) {
      const memory = watchMemory(accessPoint.pid);
      const processorBefore = cpuSeconds([accessPoint.pid]);
      const options: AttackOptions = {
        attack,
        port: accessPoint.port,
        servicePort: origin.port,
        addresses: [],
        identity: identities.mallory,
      };
      const running = Array.from({ length: attackers }, (_, index) => {
        const addresses = Array.from(
          { length: addressesEach },
          (_unused, host) => `127.66.${index}.${host + 1}`,
        );
        return processes.start(
          'nice',
          ['-n', '19', process.execPath, attacker],
          JSON.stringify({ ...options, addresses }),
        );
      });
      await Promise.all(running.map((child) => firstLine(child)));
      const noticed = await askHonestly({ ...honest, durationMs });
      const accessPointProcessorPercent = Math.round(
        ((cpuSeconds([accessPoint.pid]) - processorBefore) / (durationMs / 1000)) * 100,
      );
      const counts = await Promise.all(
        running.map(async (child) => {
          const said = once(child.stdout!, 'data') as Promise<[string]>;
          child.kill('SIGTERM');
          return JSON.parse((await said)[0]) as AttackCounts;
        }),
      );
      results.push({
        attack,
        attempts: counts.reduce((sum, each) => sum + each.attempts, 0),
        refused: counts.reduce((sum, each) => sum + each.refused, 0),
        ...noticed,
        memoryGrowthMegabytes: Number((memory.growth() / 1e6).toFixed(1)),
        accessPointProcessorPercent,
      });
      process.stderr.write(`limits: ${attack}\n`);
    }
    return { quiet, results };
  } finally {
    await processes.end();
    rmSync(directory, { recursive: true, force: true });
  }
}
