import type { Page } from '@playwright/test';
import { expect, goTo, test } from './fixtures.ts';

test('a lost connection is said, commands wait, and it returns by itself', async ({ page, openScene }) => {
  const served = await openScene('rest');
  served.cut();
  await expect(page.getByRole('alert').filter({ hasText: 'Disconnected since' })).toBeVisible();
  await expect(page.getByRole('button', { name: 'Stop everything' })).toBeDisabled();
  await expect(page.getByTestId('answer')).toContainText('shop.example');
  await page.getByRole('button', { name: 'Try now' }).click();
  await expect(page.getByRole('alert').filter({ hasText: 'Disconnected since' })).toBeVisible();
  served.double.apply({ op: 'patch', collection: 'services', id: 'shop.example', value: { sessions: 77 } });
  served.admit();
  await expect(page.getByRole('status').filter({ hasText: /^Connected$/ })).toBeVisible();
  await expect(page.getByTestId('answer')).toContainText('77');
});

test('read-only mode disables commands', async ({ page, openScene }) => {
  const { double } = await openScene('attack');
  double.apply({ op: 'patch', collection: 'console', id: 'console', value: { readOnly: true } });
  await expect(page.getByText('Read only')).toBeVisible();
  await expect(page.getByRole('button', { name: 'Approve' })).toBeDisabled();
});

test('everything works from the keyboard', async ({ page, openScene }) => {
  const { double } = await openScene('attack');
  const rooms = ['Map', 'Services', 'Moves', 'Credentials', 'Latency', 'Drills', 'Journal'];
  for (const [index, room] of rooms.entries()) {
    await page.keyboard.press(String(index + 1));
    await expect(page.getByRole('main', { name: room })).toBeVisible();
  }
  await page.keyboard.press('?');
  await expect(page.getByRole('dialog', { name: 'Keyboard shortcuts' })).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page.getByRole('dialog')).toBeHidden();

  await page.keyboard.press('Control+k');
  await page.keyboard.type('theme light');
  await page.keyboard.press('Enter');
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'light');

  await page.keyboard.press('a');
  await expect(page.getByRole('button', { name: 'Approve' })).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(page.getByText('Nothing waits for you.')).toBeVisible();
  await page.keyboard.press('Control+.');
  await expect(page.getByText('Everything is stopped')).toBeVisible();
  expect(double.calls.map((call) => call.method)).toEqual(['proposal.approve', 'emergency.stop']);
});

test('a stray Enter in the palette decides nothing', async ({ page, openScene }) => {
  const { double } = await openScene('attack');
  await page.keyboard.press('Control+k');
  await expect(page.getByRole('option', { name: /^Approve/ })).toBeVisible();
  await page.keyboard.press('Enter');
  await expect(page.getByRole('dialog', { name: 'Commands' })).toBeVisible();
  expect(double.calls).toEqual([]);
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await expect(page.getByText('Approved. shop.example moves to A2.')).toBeVisible();
});

test('digits typed into a field do not switch rooms', async ({ page, openScene }) => {
  await openScene('rest');
  await goTo(page, 'Journal');
  await page.getByRole('searchbox', { name: 'Filter' }).pressSequentially('1');
  await expect(page.getByRole('main', { name: 'Journal' })).toBeVisible();
});

for (const scheme of ['dark', 'light'] as const) {
  test(`in the ${scheme} theme every text has AA contrast`, async ({ page, openScene }) => {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
    await openScene('attack');
    for (const room of ['Map', 'Services', 'Moves', 'Credentials', 'Latency', 'Drills', 'Journal']) {
      await goTo(page, room);
      expect({ room, weak: await weakTexts(page) }).toEqual({ room, weak: [] });
    }
    await goTo(page, 'Credentials');
    await page.getByRole('radio', { name: /^Visitors/ }).click();
    await page.getByRole('button', { name: 'Sign a request' }).click();
    const form = page.getByRole('dialog', { name: 'Sign a request' });
    await form.getByRole('textbox', { name: 'Request' }).fill('-----BEGIN NOTHING');
    await form.getByLabel('Name', { exact: true }).fill('Ada');
    await form.getByRole('button', { name: 'Sign' }).click();
    await expect(form.getByRole('alert')).toBeVisible();
    const room = 'Visitors, with a refused request before them';
    expect({ room, weak: await weakTexts(page) }).toEqual({ room, weak: [] });
  });
}

test('the toggle goes from the system to dark to light, and is remembered', async ({ page, openScene }) => {
  await openScene('rest');
  const toggle = page.getByRole('button', { name: /^Theme:/ });
  await toggle.click();
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');
  await toggle.click();
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'light');
  await page.reload();
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'light');
});

/** HTML texts whose contrast with what lies behind them is under 4.5 (disabled controls are exempt). */
function weakTexts(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const parse = (color: string) => (color.match(/[\d.]+/g) ?? []).map(Number);
    const luminance = (color: number[]) => {
      const [r, g, b] = color.slice(0, 3).map((channel) => {
        const share = channel / 255;
        return share <= 0.040_45 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      }) as [number, number, number];
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (start: Element): number[] => {
      for (let element: Element | null = start; element; element = element.parentElement) {
        const color = parse(getComputedStyle(element).backgroundColor);
        if (color.length === 3 || (color[3] ?? 0) === 1) return color;
      }
      return [255, 255, 255];
    };
    const weak: string[] = [];
    for (const element of document.querySelectorAll('body *:not(svg *)')) {
      const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent?.trim());
      if (!own || element.closest(':disabled, option, .unseen, .skip')) continue;
      if (element.getClientRects().length === 0) continue;
      const front = luminance(parse(getComputedStyle(element).color));
      const back = luminance(behind(element));
      const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
      if (ratio < 4.5) weak.push(`${element.textContent?.slice(0, 40)}: ${ratio.toFixed(2)}`);
    }
    return weak;
  });
}
