import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { footprint, leftAfter } from '../system/lab-fixture.ts';
import { expect, test } from './fixtures.ts';
import { firstLine, interrupt, saidLine, startMove } from './running-console.ts';

test('ended in the middle of its start, the console takes down what it began, soon and wholly', async () => {
  const home = mkdtempSync(path.join(os.tmpdir(), 'move-e2e-'));
  const child = startMove(home, ['start', '--no-window']);
  try {
    // The line of a console that is ready comes later.
    await saidLine(child, 'reaching the hosts and starting the service', 60_000);
    const print = footprint(home);
    const asked = performance.now();
    expect(await interrupt(child, 20_000)).toBe(0);
    expect(performance.now() - asked).toBeLessThan(10_000);
    expect(await leftAfter(home, print)).toEqual([]);
  } finally {
    await interrupt(child, 40_000);
    rmSync(home, { recursive: true, force: true });
  }
});

test('a reader that goes away ends the console as Ctrl-C does', async () => {
  const home = mkdtempSync(path.join(os.tmpdir(), 'move-e2e-'));
  const child = startMove(home, ['start', '--no-window']);
  try {
    await firstLine(child, 60_000);
    const print = footprint(home);
    const ended = new Promise((resolve) => {
      child.once('exit', resolve);
    });
    // Nobody reads any more; the end of its control plane is the next thing that it wants to say.
    child.stdout?.destroy();
    child.stderr?.destroy();
    child.kill('SIGTERM');
    await ended;
    expect(await leftAfter(home, print)).toEqual([]);
  } finally {
    await interrupt(child, 40_000);
    rmSync(home, { recursive: true, force: true });
  }
});
