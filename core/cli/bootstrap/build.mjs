// Builds everything that runs from dist/: the bundles for Node 24, Electron's two scripts, the renderer.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { distDirectory, projectRoot } from './paths.mjs';
import { buildHashFile, sourcesHash } from './sources-hash.mjs';

const require = createRequire(import.meta.url);

/** CommonJS packages inside an ES module still want these three names. */
const banner = `import { createRequire as __createRequire } from 'node:module';
import { fileURLToPath as __fileURLToPath } from 'node:url';
const require = __createRequire(import.meta.url);
const __filename = __fileURLToPath(import.meta.url);
const __dirname = __filename.slice(0, __filename.lastIndexOf('/'));`;

const bundles = [
  { entry: 'core/agent/main.ts', output: 'agent.mjs' },
  { entry: 'core/cli/main.ts', output: 'cli.mjs' },
  { entry: 'core/control/main.ts', output: 'control.mjs' },
  { entry: 'core/lab/main.ts', output: 'lab.mjs' },
  { entry: 'electron/main.ts', output: 'electron/main.cjs' },
  { entry: 'electron/preload.ts', output: 'electron/preload.cjs' },
].filter(({ entry }) => fs.existsSync(path.join(projectRoot, entry)));

/** Every file is written aside and renamed: whoever runs from dist/ sees the old one or the new one. */
async function bundle(/** @type {{entry: string, output: string}} */ { entry, output }) {
  const { build } = await import('esbuild');
  const outfile = path.join(distDirectory, output);
  const commonJs = output.endsWith('.cjs');
  const result = await build({
    entryPoints: [path.join(projectRoot, entry)],
    outfile,
    absWorkingDir: projectRoot,
    bundle: true,
    platform: 'node',
    format: commonJs ? 'cjs' : 'esm',
    target: 'node24',
    sourcemap: 'linked',
    external: ['electron', 'cpu-features', '*.node'],
    banner: commonJs ? {} : { js: banner },
    logLevel: 'warning',
    write: false,
  });
  for (const file of result.outputFiles) {
    fs.mkdirSync(path.dirname(file.path), { recursive: true });
    const aside = `${file.path}.new-${process.pid}`;
    fs.writeFileSync(aside, file.contents);
    fs.renameSync(aside, file.path);
  }
}

async function buildRenderer() {
  if (!fs.existsSync(path.join(projectRoot, 'renderer/index.html'))) return;
  // vite writes into a directory of its own, which then takes the old one's place
  const aside = path.join(distDirectory, `renderer.new-${process.pid}`);
  const target = path.join(distDirectory, 'renderer');
  const { build } = await import(require.resolve('vite').replace(/\.cjs$/, '.js'));
  try {
    await build({
      root: path.join(projectRoot, 'renderer'),
      configFile: path.join(projectRoot, 'renderer/vite.config.ts'),
      logLevel: 'warn',
      build: { outDir: aside, emptyOutDir: true },
    });
    fs.rmSync(target, { recursive: true, force: true });
    fs.renameSync(aside, target);
  } finally {
    fs.rmSync(aside, { recursive: true, force: true });
  }
}

const hash = sourcesHash();
fs.mkdirSync(distDirectory, { recursive: true });
await Promise.all([...bundles.map(bundle), buildRenderer()]);
const aside = `${buildHashFile}.new-${process.pid}`;
fs.writeFileSync(aside, hash);
fs.renameSync(aside, buildHashFile);
