// The lab's own program, run as root by core/lab/lab.ts:
//   lab up --home DIR --spec FILE --owner UID:GID     starts a lab; one line of JSON when it is up or why not
//   lab remove --home DIR --owner UID:GID             ends a lab that does not answer, and what it left
//   lab inside REQUEST                                the lab's process itself, in its namespaces
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { MoveError, toMoveError } from '../runtime/errors.ts';
import { runInside } from './inside.ts';
import { launchLab } from './launch.ts';
import { labPaths } from './paths.ts';
import { removeLab } from './remove.ts';

async function main(): Promise<unknown> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { home: { type: 'string' }, spec: { type: 'string' }, owner: { type: 'string' } },
  });
  const [command, argument] = positionals;
  if (command === 'inside' && argument) {
    await runInside(argument);
    return undefined;
  }
  if (process.getuid?.() !== 0) {
    throw new MoveError('LAB_NEEDS_ROOT', 'The lab makes network namespaces, which needs root.');
  }
  const [uid, gid] = (values.owner ?? '0:0').split(':').map(Number);
  if (!values.home || uid === undefined || gid === undefined || Number.isNaN(uid + gid)) {
    throw new MoveError('LAB_REQUEST_INVALID', 'Say --home DIR and --owner UID:GID.');
  }
  if (command === 'up' && values.spec) {
    const entry = fileURLToPath(import.meta.url);
    return launchLab({ home: values.home, specFile: values.spec, owner: { uid, gid }, entry });
  }
  if (command === 'remove') return removeLab(labPaths(values.home));
  throw new MoveError('LAB_REQUEST_INVALID', `Unknown command: ${positionals.join(' ')}`);
}

try {
  const result = await main();
  if (result !== undefined) process.stdout.write(`${JSON.stringify({ ok: true, result })}\n`);
} catch (error) {
  process.stdout.write(`${JSON.stringify({ ok: false, error: toMoveError(error).toBody() })}\n`);
  process.exitCode = 1;
}
