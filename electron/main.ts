import path from 'node:path';
import * as electron from 'electron';
import { connectControl } from '../core/control/attach.ts';
import { controlHome } from '../core/control/control-home.ts';
import { runShell } from './shell.ts';

const log = (line: string) => process.stderr.write(`electron: ${line}\n`);

// Built as CommonJS beside the preload: dist/electron/main.cjs, with the renderer in dist/renderer.
runShell(electron, {
  rendererDirectory: path.join(__dirname, '..', 'renderer'),
  preloadPath: path.join(__dirname, 'preload.cjs'),
  connect: () => connectControl(controlHome(process.env), 'window'),
  log,
}).catch((thrown: unknown) => {
  log(thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown));
  electron.app.exit(1);
});
