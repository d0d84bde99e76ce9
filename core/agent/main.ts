import { floodMain, surgeMain, webAttackMain } from '../drills/flood-main.ts';
import { probeMain } from '../measure/probe-main.ts';
import { toMoveError } from '../runtime/errors.ts';
import { decoyMain } from '../sites/decoy/decoy-main.ts';
import { standardDirectories } from './directories.ts';
import { seatMain } from './seat-main.ts';
import { Agent } from './serve-agent.ts';

/**
 * The program that runs on hosts: `serve` is the agent itself; the others are short-lived programs that
 * the control plane starts over SSH and that end when it lets go of them.
 */
const programs: Readonly<Record<string, () => Promise<number>>> = {
  serve,
  seat: seatMain,
  probe: () => probeMain(),
  flood: () => floodMain(),
  surge: () => surgeMain(),
  decoy: decoyMain,
  'web-attack': () => webAttackMain(),
};

async function serve(): Promise<number> {
  const log = (line: string) => process.stderr.write(`${new Date().toISOString()} ${line}\n`);
  process.on('unhandledRejection', (thrown) => log(`unhandled: ${toMoveError(thrown).stack}`));
  const stop = await new Agent(standardDirectories, log).start();
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
  await stop();
  return 0;
}

const program = programs[process.argv[2] ?? ''];
if (!program) {
  process.stderr.write(`Usage: agent ${Object.keys(programs).join(' | ')}\n`);
  process.exit(2);
}
process.exit(await program());
