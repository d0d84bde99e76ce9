import path from 'node:path';
import { type BuildOptions, build } from 'esbuild';

/**
 * Bundles the desktop shell into `dist/electron` below the product's root: main.cjs, and preload.cjs, which
 * must be CommonJS since a sandboxed preload cannot load anything else.
 */
export async function buildElectron(root: string): Promise<void> {
  const shared: BuildOptions = {
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node24',
    external: ['electron'],
    outExtension: { '.js': '.cjs' },
    outdir: path.join(root, 'dist', 'electron'),
    sourcemap: true,
    logLevel: 'warning',
  };
  await build({
    ...shared,
    entryPoints: {
      main: path.join(root, 'electron', 'main.ts'),
      preload: path.join(root, 'electron', 'preload.ts'),
    },
  });
}
