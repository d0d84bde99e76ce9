import { bringAway, bringHome, elsewhere, expect, goTo, service, serviceIn, test } from './fixtures.ts';

test('a move by hand stops where it was asked to, goes on, and comes to its end before one’s eyes', async ({
  page,
  control,
}) => {
  const from = await bringHome(control);
  const to = elsewhere(control);
  const [old, next] = [from.toUpperCase(), to.toUpperCase()];
  await goTo(page, 'Services');
  await page.getByRole('button', { name: 'Move now' }).click();
  const dialog = page.getByRole('dialog', { name: `Move ${service}` });
  await dialog.getByRole('radio', { name: next }).check();
  await dialog.getByLabel('Stop before a phase').selectOption('ship');
  await dialog.getByRole('button', { name: `Move to ${next}` }).click();

  const { id } = await control.until('it pauses', (state) =>
    Object.values(state.moves).find((one) => one.pausedBefore === 'ship'),
  );
  await goTo(page, 'Map');
  await expect(page.getByText('paused before ship', { exact: true })).toBeVisible();
  await expect(page.getByTestId('answer')).toContainText(`moving from ${old} to ${next}`);
  const row = (phase: string) => page.getByRole('row', { name: new RegExp(`^${phase} `) });
  for (const done of ['freeze', 'dump']) await expect(row(done)).toHaveText(/\d m?s$/);
  for (const open of ['ship', 'verify', 'restore', 'commit', 'announce', 'first answer'])
    await expect(row(open)).toHaveText(/–$/);

  await goTo(page, 'Moves');
  await page.getByRole('button', { name: 'Continue' }).click();
  await goTo(page, 'Map');
  await control.until('the move ends', (state) => state.moves[id]?.endedAt, 60_000);
  const move = control.state.moves[id]!;
  expect(move).toMatchObject({ state: 'done', from, to });
  await expect(page.getByTestId('answer')).toContainText(`moved from ${old} to ${next}`);
  await expect(page.getByRole('button', { name: new RegExp(`^hosting site ${next}, live`) })).toBeVisible();
  await expect(page.getByRole('button', { name: new RegExp(`^hosting site ${old}, left`) })).toBeVisible();
  await expect(page.locator('.lifeline-line')).toHaveCount(1);
  for (const done of ['ship', 'verify', 'restore', 'commit', 'announce', 'first answer'])
    await expect(row(done)).toHaveText(/\d m?s$/);
  await control.until('the sessions are counted', (state) => state.moves[id]?.sessionsLost === 0);
  await expect(page.getByTestId('answer')).toContainText(/0 of \d+sessions lost/);
  expect(move.wireBytes).toBeGreaterThan(100_000);
});

test('a paused move is taken back and the service goes on where it stood', async ({ page, control }) => {
  const { site, epoch } = serviceIn(control);
  const { move } = await control.client.call('move.start', {
    service,
    to: elsewhere(control),
    pauseAt: 'ship',
  });
  await control.until('it pauses', (state) => state.moves[move.id]?.pausedBefore === 'ship');
  await goTo(page, 'Moves');
  await page.getByRole('button', { name: 'Take back' }).click();
  await control.until('it is rolled back', (state) => state.moves[move.id]?.state === 'rolled-back');
  const rolledBack = Object.values(control.state.moves).filter((one) => one.state === 'rolled-back');
  await expect(
    page.getByRole('row').filter({ has: page.getByText('rolled back', { exact: true }) }),
  ).toHaveCount(rolledBack.length);
  await control.until('the service runs', (state) => state.services[service]?.state === 'running');
  expect(serviceIn(control)).toMatchObject({ site, epoch });
});

test('the service moves back home, and its lifeline ends', async ({ page, control }) => {
  await bringAway(control);
  const { homeSite } = serviceIn(control);
  await expect(page.locator('.lifeline-line')).toHaveCount(1);
  await goTo(page, 'Services');
  await page.getByRole('button', { name: 'Move back' }).click();
  await page
    .getByRole('dialog')
    .getByRole('button', { name: `Move to ${homeSite.toUpperCase()}` })
    .click();
  await control.until(
    'the service is home',
    (state) => state.services[service]?.site === homeSite && state.services[service]?.state === 'running',
    60_000,
  );
  await goTo(page, 'Map');
  await expect(page.locator('.lifeline-line')).toHaveCount(0);
  await expect(page.getByRole('button', { name: /^hosting site .*, left/ })).toHaveCount(0);
});
