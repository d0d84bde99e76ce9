import { floodMain, surgeMain, webAttackMain } from '../../../core/drills/flood-main.ts';
import { probeMain } from '../../../core/measure/probe-main.ts';

/** The programs of lab hosts, as the agent's bundle offers them. */
const programs: Record<string, () => Promise<number>> = {
  flood: floodMain,
  surge: surgeMain,
  'web-attack': webAttackMain,
  probe: probeMain,
};
process.exitCode = await programs[process.argv[2] ?? '']?.();
