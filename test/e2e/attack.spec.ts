import type { Page } from '@playwright/test';
import type { Proposal } from '../../core/contract/domain.ts';
import type { ControlView } from './control-view.ts';
import { endEverything, expect, goTo, service, serviceIn, test } from './fixtures.ts';

/** Longer than a slow machine needs to look at it: each test ends its flood itself. */
const seconds = 60;

/** Starts the demo flood by hand; answers the proposal that follows from it. */
async function flood(page: Page, control: ControlView): Promise<Proposal> {
  const site = serviceIn(control).site.toUpperCase();
  await goTo(page, 'Drills');
  await page.getByLabel('Seconds').fill(String(seconds));
  await page.getByRole('button', { name: 'Start the flood' }).click();
  await expect(page.getByText(`Flood on ${site}`)).toBeVisible();
  await expect(page.getByRole('alert').filter({ hasText: `Attack on ${site}` })).toBeVisible();
  return control.until('a move is proposed', (state) =>
    Object.values(state.proposals).find((proposal) => proposal.state === 'waiting'),
  );
}

test('a flood is seen, its answer approved by the keyboard, and the service moves', async ({
  page,
  control,
}) => {
  const from = serviceIn(control).site;
  const { to } = await flood(page, control);
  await goTo(page, 'Map');
  await expect(page.locator('.flood path').first()).toBeVisible();
  await expect(page.getByText('3 sources · 45 Mbit/s')).toBeVisible();
  await expect(
    page.getByRole('button', { name: new RegExp(`^hosting site ${from.toUpperCase()}, live, attacked`) }),
  ).toBeVisible();
  const card = page.getByRole('article', { name: `Approve: move ${service} from ${from.toUpperCase()}` });
  await expect(card).toContainText('Mbit/s');
  await expect(card).toContainText('reached over the lifeline');
  await page.keyboard.press('a');
  await expect(card.getByRole('button', { name: 'Approve' })).toBeFocused();
  await page.keyboard.press('Enter');
  await control.until(
    'it has moved',
    (state) => state.services[service]?.site === to && state.services[service]?.state === 'running',
    60_000,
  );
  await expect(card).toBeHidden();
  // Without a first answer in time, as on a slow machine, a move ends without its figure and is no news.
  await expect(page.getByTestId('answer')).toContainText(
    new RegExp(`(moved from ${from.toUpperCase()} to|lives at) ${to.toUpperCase()}`),
  );
  await endEverything(control);
  await expect(page.getByRole('alert').filter({ hasText: 'Attack on' })).toBeHidden();
});

test('a declined move leaves the service where it is, attacked', async ({ page, control }) => {
  const { site } = serviceIn(control);
  const proposal = await flood(page, control);
  await goTo(page, 'Moves');
  await page.getByRole('button', { name: 'Decline' }).click();
  await expect(page.getByText(`Declined. ${service} stays at ${site.toUpperCase()}.`)).toBeVisible();
  await expect(page.getByRole('main')).toContainText('Nothing waits for you.');
  await endEverything(control);
  await control.until('the attack ends', (state) => !state.sites[site]?.attacked);
  expect(control.state.proposals[proposal.id]?.state).toBe('declined');
  expect(serviceIn(control).site).toBe(site);
});

test('stop everything ends the flood at once, and nothing starts until it is released', async ({
  page,
  control,
}) => {
  await flood(page, control);
  const asked = performance.now();
  await page.keyboard.press('Control+.');
  await expect(page.getByRole('status').filter({ hasText: 'Everything is stopped' })).toBeVisible();
  await control.until('the flood ends', (state) => Object.keys(state.floods).length === 0);
  expect(performance.now() - asked).toBeLessThan(10_000);
  await expect(page.getByRole('button', { name: 'Start the flood' })).toBeDisabled();
  await expect(control.client.call('flood.start', { service })).rejects.toMatchObject({ code: 'HALTED' });
  await expect(page.getByRole('alert').filter({ hasText: 'Attack on' })).toBeHidden();
  await page.getByRole('button', { name: 'Release' }).click();
  await expect(page.getByText('Everything is stopped')).toBeHidden();
  await expect(page.getByRole('button', { name: 'Start the flood' })).toBeEnabled();
});

test('a flood aimed outside the lab is refused, and the journal says so', async ({ page, control }) => {
  await expect(
    control.client.call('flood.start', { service, target: '192.0.2.7', seconds: 1 }),
  ).rejects.toMatchObject({ code: 'FLOOD_REFUSED' });
  await goTo(page, 'Journal');
  await expect(
    page
      .getByRole('main')
      .getByText(/A flood was refused: /)
      .first(),
  ).toBeVisible();
});
