// Builds one base image of the pods where it is missing, as root or through sudo: `move service add` runs it.
//   node image.mjs NAME        exit code 3 when nobody knows how to build that image
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { imageMissing, imageNames } from './pod-image.mjs';
import { sudoPrefix } from './prepare.mjs';
import { runLoud } from './run.mjs';

const name = process.argv[2] ?? '';
const limitMs = 15 * 60_000;

if (!imageNames.includes(name)) process.exitCode = 3;
else if (imageMissing(name) !== null) {
  const privileged = process.getuid?.() === 0 ? [] : sudoPrefix(false);
  if (privileged === null) {
    process.stderr.write(`move: ${imageMissing(name)}; to build it needs root, and there is no sudo here\n`);
    process.exitCode = 1;
  } else {
    const system = path.join(path.dirname(fileURLToPath(import.meta.url)), 'system.mjs');
    const [program, ...rest] = [...privileged, process.execPath, system, `image:${name}`];
    process.exitCode = await runLoud(program ?? '', rest, { timeoutMs: limitMs, inheritStdin: true });
  }
}
