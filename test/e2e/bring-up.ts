import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { footprint, leftAfter } from '../system/lab-fixture.ts';
import {
  consoleImpossible,
  firstLine,
  interrupt,
  environmentNames as names,
  startMove,
} from './running-console.ts';

/**
 * Brings the lab and the console up once for all browser tests, as `npm start` does where there is no
 * display, and enters by the one-time address. The returned function ends it as Ctrl-C does and fails when
 * anything of it is left.
 */
export default async function bringUp(): Promise<() => Promise<void>> {
  const impossible = consoleImpossible();
  if (impossible) {
    process.env[names.impossible] = impossible;
    return async () => undefined;
  }
  const home = mkdtempSync(path.join(os.tmpdir(), 'move-e2e-'));
  const child = startMove(home, ['start', '--no-window']);
  try {
    const { address } = await firstLine<{ address: string }>(child, 90_000);
    // Whatever it says from now on has to be read, or it would stop at a full pipe.
    child.stdout?.resume();
    const entered = await fetch(address, { redirect: 'manual' });
    const cookie = entered.headers.get('set-cookie')?.split(';')[0];
    if (entered.status !== 303 || !cookie) throw new Error(`the console was not entered: ${entered.status}`);
    process.env[names.home] = home;
    process.env[names.origin] = new URL(address).origin;
    process.env[names.address] = address;
    process.env[names.cookie] = cookie;
  } catch (thrown) {
    await interrupt(child, 60_000).finally(() => rmSync(home, { recursive: true, force: true }));
    throw thrown;
  }
  return async () => {
    const print = footprint(home);
    try {
      const code = await interrupt(child, 60_000);
      const left = await leftAfter(home, print);
      if (code !== 0 || left.length > 0)
        throw new Error(`the console ended with ${code} and left behind: ${left.join(', ') || 'nothing'}`);
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  };
}
