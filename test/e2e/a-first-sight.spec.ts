import { expect, goTo, serviceIn, test } from './fixtures.ts';

test('the first sight shows every host of the lab up, and by which way each person comes', async ({
  page,
  control,
}) => {
  const map = page.getByRole('group', { name: /^Live map/ });
  await expect(map.getByRole('button', { name: /^overlay node .*\bup$/ })).toHaveCount(8);
  await expect(map.getByRole('button', { name: /^hosting site .*(live|idle|left)/ })).toHaveCount(6);
  await expect(map.getByRole('button', { name: /^stepping stone .*\bup$/ })).toHaveCount(3);
  await expect(map.getByRole('button', { name: /^attacker bot-\d, idle$/ })).toHaveCount(3);
  await expect(map.getByRole('button', { name: /^client client-1, overlay \d/ })).toBeVisible();
  await expect(
    map.getByRole('button', { name: /^client client-2, (direct \d|no answer yet)/ }),
  ).toBeVisible();
  await expect(page.getByTestId('ring-words')).toContainText('ring invariant holds');
  await expect(map.getByRole('button', { name: /^overlay node .*directory/ })).toHaveCount(1);
  // Who has used another way before may have left a second one of these.
  for (const role of ['access point', 'servlet'])
    await expect(
      map.getByRole('button', { name: new RegExp(`^overlay node .*${role}`) }).first(),
    ).toBeVisible();
  const place = serviceIn(control).site.toUpperCase();
  await expect(page.getByTestId('answer')).toContainText(new RegExp(`(lives at|to|still at) ${place}`));
});

test('every room shows the real thing, by its key', async ({ page }) => {
  const shown: [string, RegExp][] = [
    ['Services', /Move now/],
    ['Moves', /Nothing waits for you/],
    ['Credentials', /seat at client-1/],
    ['Latency', /Overlay against direct/],
    ['Drills', /Start the flood/],
    ['Journal', /Policy of shop\.example: approve,/],
    ['Map', /nodes/],
  ];
  for (const [index, [room, words]] of shown.entries()) {
    await page.keyboard.press(String(((index + 1) % 7) + 1));
    await expect(page.getByRole('main', { name: room })).toContainText(words);
  }
  await goTo(page, 'Journal');
  await page.getByRole('button', { name: 'Verify the chain' }).click();
  await expect(page.getByText(/^The chain holds: \d+ records checked\.$/)).toBeVisible();
});

test('both themes are drawn and the choice is kept', async ({ page }) => {
  const body = page.locator('body');
  await page.emulateMedia({ colorScheme: 'dark' });
  await expect(body).toHaveCSS('background-color', 'rgb(10, 13, 18)');
  await page.getByRole('button', { name: /^Theme/ }).click();
  await page.getByRole('button', { name: /^Theme: dark/ }).click();
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'light');
  await expect(body).toHaveCSS('background-color', 'rgb(238, 241, 245)');
  await page.reload();
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'light');
  await expect(page.getByRole('button', { name: /^hosting site A1/ })).toBeVisible();
});

test('the one-time address lets nobody in a second time', async ({ running }) => {
  const again = await fetch(running.address, { redirect: 'manual' });
  expect(again.status).toBe(403);
  expect(again.headers.get('set-cookie')).toBeNull();
  const without = await fetch(running.origin);
  expect(without.status).toBe(401);
});
