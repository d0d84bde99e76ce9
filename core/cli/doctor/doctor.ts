import { statfsSync } from 'node:fs';
import os from 'node:os';
import { toMoveError } from '../../runtime/errors.ts';
import { criuRequirement } from './criu.ts';
import { kernelRequirements } from './kernel.ts';
import { programRequirements, windowRequirements } from './programs.ts';
import { degraded, missing, ok, type Requirement } from './requirement.ts';

const mebibyte = 2 ** 20;

/**
 * Looks at everything the product needs of this machine, trying out rather than asking wherever that is
 * possible. Takes at most half a minute, changes nothing, and never throws: what cannot be found out is
 * reported as missing with the reason.
 */
export async function runDoctor(): Promise<{ requirements: Requirement[] }> {
  const parts = await Promise.all([
    guarded('kernel', kernelRequirements),
    guarded('criu', async () => [await criuRequirement()]),
    guarded('programs', async () => programRequirements()),
    guarded('window', async () => windowRequirements()),
    guarded('machine', async () => [node(), memory(os.totalmem()), disk(freeBytes(os.tmpdir()))]),
  ]);
  return { requirements: parts.flat() };
}

async function guarded(id: string, look: () => Promise<Requirement[]>): Promise<Requirement[]> {
  try {
    return await look();
  } catch (error) {
    const remedy = 'Run "npm start" and let it install what is missing.';
    return [missing(id, `It could not be found out: ${toMoveError(error).message}`, remedy)];
  }
}

function node(): Requirement {
  const major = Number(process.versions.node.split('.')[0]);
  return major >= 24
    ? ok('node', `Node ${process.versions.node} runs this.`)
    : missing(
        'node',
        `Node ${process.versions.node} runs this; 24 is needed.`,
        'Start with "npm start", which brings it.',
      );
}

/** The default lab with its services takes about 2 GiB; 1 GiB starts it, with nothing to spare. */
export function memory(totalBytes: number): Requirement {
  const found = `The machine has ${Math.round(totalBytes / mebibyte)} MiB of memory.`;
  if (totalBytes >= 3500 * mebibyte) return ok('memory', found);
  const remedy = 'Give it 4 GiB, or start a smaller lab with "lab up --spec".';
  return totalBytes >= 1800 * mebibyte ? degraded('memory', found, remedy) : missing('memory', found, remedy);
}

function freeBytes(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}

/** Set-up takes about 1.5 GiB, most of it npm packages. */
export function disk(free: number): Requirement {
  const found = `There are ${Math.round(free / mebibyte)} MiB of free disk.`;
  if (free >= 3000 * mebibyte) return ok('disk', found);
  const remedy = 'Free some space: set-up and its images take 1.5 GiB.';
  return free >= 1000 * mebibyte ? degraded('disk', found, remedy) : missing('disk', found, remedy);
}
