import { existsSync, readFileSync } from 'node:fs';
import { sweepRemains } from './launch.ts';
import { labManifestSchema } from './manifest.ts';
import type { LabPaths } from './paths.ts';

/**
 * Ends a lab that does not answer: kills its first keeper (the kernel and the second keeper do the rest),
 * then sweeps what a killed pair of keepers may have left. As root.
 */
export async function removeLab(paths: LabPaths): Promise<{ killed: boolean }> {
  const pid = keeperPid(paths);
  if (pid !== null) {
    process.kill(pid, 'SIGKILL');
    const deadline = performance.now() + 15_000;
    while (existsSync(paths.manifest) && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
  await sweepRemains(paths);
  return { killed: pid !== null };
}

/** The keeper that the manifest names, if that process is one: numbers are used again. */
function keeperPid(paths: LabPaths): number | null {
  try {
    const { keeperPid: pid, labId } = labManifestSchema.parse(
      JSON.parse(readFileSync(paths.manifest, 'utf8')),
    );
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return words[0]?.endsWith('labkeeper') && words[2] === labId ? pid : null;
  } catch {
    // no manifest or no such process: there is nothing to kill
    return null;
  }
}
