import { existsSync, readFileSync } from 'node:fs';
import { labFreezer } from './freezer.ts';
import { sweepRemains } from './launch.ts';
import { launchRequestSchema } from './launch-request.ts';
import { labManifestSchema } from './manifest.ts';
import type { LabPaths } from './paths.ts';

/**
 * Ends a lab that does not answer: kills its first keeper (the kernel and the second keeper do the rest),
 * then sweeps what a killed pair of keepers may have left. As root.
 */
export async function removeLab(paths: LabPaths): Promise<{ killed: boolean }> {
  const { pid, labId } = readKeeper(paths);
  if (pid !== null) {
    process.kill(pid, 'SIGKILL');
  }
  // a keeper that was killed is seen for another moment: what it held is swept when it is gone
  const deadline = performance.now() + 15_000;
  for (;;) {
    await sweepRemains(paths);
    if (labId === null || !existsSync(labFreezer(labId).directory) || performance.now() > deadline) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return { killed: pid !== null };
}

/** What the launch request says is running, and its keeper if that process still is one: numbers come again. */
function readKeeper(paths: LabPaths): { pid: number | null; labId: string | null } {
  let labId: string | null = null;
  try {
    labId = launchRequestSchema.parse(JSON.parse(readFileSync(paths.request, 'utf8'))).labId;
    const { keeperPid: pid } = labManifestSchema.parse(JSON.parse(readFileSync(paths.manifest, 'utf8')));
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return { pid: words[0]?.endsWith('labkeeper') && words[2] === labId ? pid : null, labId };
  } catch {
    // a lab that never came up, or no such process: there is nobody to kill
    return { pid: null, labId };
  }
}
