import { test as base, expect, type Page } from '@playwright/test';
import { browserImpossible } from '../support/chromium.ts';
import type { SceneName } from './scenes.ts';
import { type ServedDouble, serveDouble } from './serve-double.ts';

/** Opens the window on a scene; a fault or a violated content policy in the page fails the test. */
export const test = base.extend<{ possible: undefined; openScene(scene: SceneName): Promise<ServedDouble> }>({
  possible: [
    // biome-ignore lint/correctness/noEmptyPattern: Playwright reads which fixtures are wanted from the pattern
    async ({}, use, info) => {
      const impossible = browserImpossible();
      info.skip(impossible !== null, impossible ?? '');
      await use(undefined);
    },
    { auto: true },
  ],
  openScene: async ({ page }, use) => {
    const faults: string[] = [];
    const served: ServedDouble[] = [];
    page.on('pageerror', (error) => faults.push(error.message));
    page.on('console', (message) => {
      // A refused connection is what the tests of disconnection cause themselves.
      if (message.type() === 'error' && !/WebSocket connection/.test(message.text()))
        faults.push(message.text());
    });
    await use(async (scene) => {
      const one = await serveDouble(scene);
      served.push(one);
      await page.goto(one.url);
      await expect(page.getByRole('status').filter({ hasText: /^Connected$/ })).toBeVisible();
      return one;
    });
    for (const one of served) await one.close();
    expect(faults).toEqual([]);
  },
});

export { expect };

/** Goes to a room by the rail. */
export async function goTo(page: Page, room: string): Promise<void> {
  await page.getByRole('navigation').getByRole('button', { name: room }).click();
}
