// The part of set-up that needs root. prepare.mjs runs it, through sudo where the caller is not root:
//   node system.mjs STEP...        STEP is one of: packages test-packages bench-packages criu native images, or image:NAME
import fs from 'node:fs';
import { criuMissing, installCriu } from './criu-install.mjs';
import { installDebianPackages, missingDebianPackages } from './debian-packages.mjs';
import { withLock } from './lock.mjs';
import { compileNative, nativeMissing } from './native.mjs';
import { cacheDirectory } from './paths.mjs';
import { buildImage, buildImages, imageMissing, imageNames, imagesMissing } from './pod-image.mjs';

const log = (/** @type {string} */ line) => void process.stderr.write(`move: ${line}\n`);

/** @type {Record<string, {missing: () => string | null, make: () => Promise<void>}>} */
const steps = {
  packages: installation('packages'),
  'test-packages': installation('test-packages'),
  'bench-packages': installation('bench-packages'),
  criu: { missing: criuMissing, make: () => installCriu(log) },
  native: { missing: nativeMissing, make: compileNative },
  images: { missing: imagesMissing, make: () => buildImages(log) },
  ...Object.fromEntries(
    imageNames.map((name) => [
      `image:${name}`,
      { missing: () => imageMissing(name), make: () => buildImage(name, log) },
    ]),
  ),
};

function installation(/** @type {import('./debian-packages.mjs').PackageGroup} */ group) {
  return {
    missing: () => (missingDebianPackages(group).length > 0 ? 'Debian packages are missing' : null),
    make: () => installDebianPackages(missingDebianPackages(group).map(({ name }) => name)),
  };
}

fs.mkdirSync(cacheDirectory, { recursive: true, mode: 0o755 });
const failed = await withLock(`${cacheDirectory}/.lock`, async () => {
  const names = [];
  for (const name of process.argv.slice(2)) {
    const step = steps[name];
    if (!step) throw new Error(`system.mjs knows no step ${name}; it knows ${Object.keys(steps).join(' ')}`);
    try {
      // somebody else may have made it while we waited for the lock
      if (step.missing() !== null) await step.make();
    } catch (error) {
      log(`${name}: ${error instanceof Error ? error.message : error}`);
      names.push(name);
    }
  }
  return names;
});
if (failed.length > 0) process.exitCode = 1;
