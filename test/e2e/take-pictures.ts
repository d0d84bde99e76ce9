import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { chromium } from '@playwright/test';
import { browserUse } from '../support/chromium.ts';
import { ControlView } from './control-view.ts';
import { firstLine, interrupt, projectRoot, startMove } from './running-console.ts';

/**
 * Takes the pictures of the map that the README and the manual show: at rest, under attack, moving and
 * after, in both themes, of the real console over a real lab. `node test/e2e/take-pictures.ts`.
 */
const service = 'shop.example';
const pictures = path.join(projectRoot, 'assets/screenshots');
const quietMs = 45_000;
const settleMs = 2_500;

const home = mkdtempSync(path.join(os.tmpdir(), 'move-pictures-'));
const child = startMove(home, ['start', '--no-window']);
try {
  const { address } = await firstLine<{ address: string }>(child, 60_000);
  child.stdout?.resume();
  const control = await ControlView.attach(home);
  const browser = await chromium.launch(browserUse.launchOptions ?? {});
  try {
    const page = await browser.newPage({ viewport: { width: 1600, height: 1000 }, colorScheme: 'dark' });
    await page.goto(address);
    const take = async (name: string) => {
      for (const colorScheme of ['dark', 'light'] as const) {
        await page.emulateMedia({ colorScheme });
        await page.screenshot({
          path: path.join(pictures, `map-${name}-${colorScheme}.png`),
          animations: 'disabled',
        });
      }
      await page.emulateMedia({ colorScheme: 'dark' });
    };
    const ended = (id: string) => control.until('the move ends', ({ moves }) => moves[id]?.endedAt, 60_000);

    const calm = () =>
      control.until(
        'the attack ends',
        ({ floods, sites }) =>
          Object.keys(floods).length === 0 && Object.values(sites).every((site) => !site.attacked),
        60_000,
      );

    await control.until('the lab answers', ({ console }) => console.console?.phase === 'ready', 60_000);
    await control.until('a path is used', ({ services }) => services[service]?.servlet);
    // The pictures shall show a past, too: the latency of a quiet while.
    await pause(quietMs);
    await take('rest');

    await control.client.call('flood.start', { service, seconds: 30 });
    const { id } = await control.until('a move is proposed', ({ proposals }) =>
      Object.values(proposals).find((proposal) => proposal.state === 'waiting'),
    );
    await pause(settleMs);
    await take('under-attack');

    const { proposal } = await control.client.call('proposal.approve', { proposal: id });
    await ended(proposal.move ?? '');
    await pause(8_000);
    await take('after');

    await calm();
    const home = control.state.services[service]?.homeSite ?? '';
    await ended((await control.client.call('move.start', { service, to: home })).move.id);
    await pause(settleMs);
    await control.client.call('flood.start', { service, seconds: 30 });
    await control.until('the attack is seen', ({ sites }) => sites[home]?.attacked);
    const { move } = await control.client.call('move.start', { service, pauseAt: 'verify' });
    await control.until('it pauses', ({ moves }) => moves[move.id]?.pausedBefore === 'verify');
    await pause(500);
    await take('moving');
    await control.client.call('move.continue', { move: move.id });
    await ended(move.id);
    control.close();
  } finally {
    await browser.close();
  }
} finally {
  await interrupt(child, 60_000);
  rmSync(home, { recursive: true, force: true });
}
