import { expect, goTo, test } from './fixtures.ts';

test('approve calls the contract once, and the queue empties', async ({ page, openScene }) => {
  const { double } = await openScene('attack');
  const rail = page.getByRole('navigation');
  await expect(rail.getByRole('status', { name: '1 decision waiting' })).toBeVisible();
  const card = page.getByRole('article', { name: 'Approve: move shop.example from B1' });
  await expect(card).toContainText('214 open, parked meanwhile');
  await expect(card).toContainText('/var/www, over stone B');
  await card.getByRole('button', { name: 'Approve' }).click();
  await expect(card).toBeHidden();
  await expect(page.getByText('Approved. shop.example moves to A2.')).toBeVisible();
  expect(double.calls).toEqual([{ method: 'proposal.approve', input: { proposal: 'proposal-1' } }]);
});

test('decline leaves the service where it is', async ({ page, openScene }) => {
  const { double } = await openScene('attack');
  await goTo(page, 'Moves');
  await page.getByRole('button', { name: 'Decline' }).click();
  await expect(page.getByText('Nothing waits for you.')).toBeVisible();
  expect(double.calls).toEqual([{ method: 'proposal.decline', input: { proposal: 'proposal-1' } }]);
});

test('move now names its consequence and sends what was chosen', async ({ page, openScene }) => {
  const { double } = await openScene('rest');
  await goTo(page, 'Services');
  await page.getByRole('button', { name: 'Move now' }).click();
  const dialog = page.getByRole('dialog', { name: 'Move shop.example' });
  await expect(dialog).toContainText('the median of 1 earlier move');
  await expect(dialog).toContainText('214 open; they are parked and go on by themselves');
  await expect(dialog).toContainText('/var/www at B1');
  await expect(dialog).toContainText('move back to B1, the same way');
  await dialog.getByRole('radio', { name: /^C2/ }).check();
  await dialog.getByLabel('Stop before a phase').selectOption('restore');
  await dialog.getByRole('button', { name: 'Move to C2' }).click();
  await expect(dialog).toBeHidden();
  expect(double.calls).toEqual([
    { method: 'move.start', input: { service: 'shop.example', to: 'c2', pauseAt: 'restore' } },
  ]);
});

test('a rehearsal says whether a service would move, and where to', async ({ page, openScene }) => {
  const { double } = await openScene('rest');
  await goTo(page, 'Services');
  await expect(page.getByText('Not tried yet.')).toBeVisible();
  await page.getByRole('button', { name: 'Rehearse' }).click();
  await expect(page.getByText('it would', { exact: true })).toBeVisible();
  await expect(
    page.getByText('it stood still for 128 ms. Of 6.1 MB of state, 28 kB would travel'),
  ).toBeVisible();
  await expect(page.getByRole('row', { name: /^C1/ })).toContainText('The processors of C1 lack avx512f');
  await expect(page.getByRole('row', { name: /^C2/ })).toContainText('451 ms');
  expect(double.calls).toEqual([
    { method: 'service.preflight', input: { service: 'shop.example', inspectOnly: false } },
  ]);
  await page.screenshot({ path: process.env.MOVE_PICTURE ?? 'test-results/preflight.png' });
  await page.getByRole('button', { name: 'Move now' }).click();
  const dialog = page.getByRole('dialog', { name: 'Move shop.example' });
  await dialog.getByRole('radio', { name: /^C2/ }).check();
  await expect(dialog).toContainText('about 451 ms, from a rehearsal and a 20 Mbit/s bottleneck');
});

test('move back is offered away from home', async ({ page, openScene }) => {
  const { double } = await openScene('after');
  await goTo(page, 'Services');
  await page.getByRole('button', { name: 'Move back' }).click();
  await page.getByRole('button', { name: 'Move to B1' }).click();
  await expect
    .poll(() => double.calls)
    .toEqual([{ method: 'move.start', input: { service: 'shop.example', to: 'b1' } }]);
});

test('a paused move goes on or is taken back', async ({ page, openScene }) => {
  const { double } = await openScene('moving');
  await goTo(page, 'Moves');
  await expect(page.getByText('paused before restore')).toBeVisible();
  await page.getByRole('button', { name: 'Continue' }).click();
  await expect(page.getByText('The move goes on.')).toBeVisible();
  await page.getByRole('button', { name: 'Take back' }).click();
  await expect(page.getByText('rolled back').first()).toBeVisible();
  expect(double.calls.map((call) => call.method)).toEqual(['move.continue', 'move.cancel']);
});

test('a move that was rolled back tells why', async ({ page, openScene }) => {
  await openScene('rest');
  await goTo(page, 'Moves');
  await page
    .getByRole('row', { name: /rolled back/ })
    .getByRole('button')
    .click();
  await expect(page.getByText('TRANSFER_FAILED')).toBeVisible();
  await expect(page.getByText('The stepping stone of ISP B closed the stream')).toBeVisible();
});

test('a certificate is issued, downloaded and revoked', async ({ page, openScene }) => {
  const { double } = await openScene('rest');
  await goTo(page, 'Credentials');
  await expect(page.getByText('old laptop')).toBeHidden();
  await page.getByRole('button', { name: 'Issue a certificate' }).click();
  const form = page.getByRole('dialog', { name: 'Issue a certificate' });
  await form.getByRole('button', { name: 'Issue' }).click();
  await expect(form.getByText('Give a name of 1 to 64 characters.')).toBeVisible();
  await expect(form.getByText('Use at least 8 characters.', { exact: true })).toBeVisible();
  expect(double.calls).toEqual([]);
  await form.getByLabel('Name', { exact: true }).fill('Mary Shelley');
  await form.getByRole('radio', { name: 'Only these services' }).check();
  await form.getByRole('combobox', { name: 'Only these services' }).fill('shop.example');
  await form.getByLabel('Password of the PKCS#12 file').fill('a long enough pass 1');
  await form.getByRole('button', { name: 'Issue' }).click();

  const files = page.getByRole('dialog', { name: 'Certificate for Mary Shelley' });
  await expect(files).toContainText('it is shown once and kept nowhere');
  const download = page.waitForEvent('download');
  await files.getByRole('button', { name: 'PKCS#12 (.p12)' }).click();
  expect((await download).suggestedFilename()).toBe('Mary-Shelley.p12');
  await files.getByRole('button', { name: 'I have saved it' }).click();
  await expect(files).toBeHidden();

  await page.getByRole('button', { name: 'Revoke Mary Shelley' }).click();
  const revoke = page.getByRole('dialog', { name: 'Revoke the certificate of Mary Shelley' });
  await expect(revoke).toContainText('Cuts live sessions within a second');
  await revoke.getByLabel('Reason').selectOption('superseded');
  await revoke.getByRole('button', { name: 'Revoke', exact: true }).click();
  await expect(page.getByText('8 access points told within 41 ms')).toBeVisible();
  expect(double.calls.map((call) => call.method)).toEqual(['credential.issue', 'credential.revoke']);
  expect(double.calls[0]!.input).toMatchObject({
    name: 'Mary Shelley',
    services: ['shop.example'],
    days: 30,
  });
  expect(double.calls[1]!.input).toMatchObject({ reason: 'superseded' });
});

test('closing a fresh key unsaved asks first', async ({ page, openScene }) => {
  await openScene('rest');
  await goTo(page, 'Credentials');
  await page.getByRole('button', { name: 'Issue a certificate' }).click();
  await page.getByLabel('Name', { exact: true }).fill('Kim');
  await page.getByRole('button', { name: 'Make one' }).click();
  await expect(page.getByText('strong')).toBeVisible();
  await page.getByRole('button', { name: 'Issue', exact: true }).click();
  await expect(page.getByRole('dialog', { name: 'Certificate for Kim' })).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page.getByText('You have not saved the key yet.')).toBeVisible();
  await page.getByRole('button', { name: 'Close without saving' }).click();
  await expect(page.getByRole('dialog')).toBeHidden();
});

test('the demo flood and a drill start; stop everything halts and release lifts', async ({
  page,
  openScene,
}) => {
  const { double } = await openScene('rest');
  await goTo(page, 'Drills');
  await page.getByLabel('Seconds').fill('12');
  await page.getByRole('button', { name: 'Start the flood' }).click();
  await expect(page.getByText('Flood on B1')).toBeVisible();
  await page.getByRole('button', { name: 'Run the drill' }).click();
  await expect(page.getByText('measuring the quiet').first()).toBeVisible();
  await expect(page.getByText('The service is brought home from A2 to B1')).toBeVisible();
  await page.getByRole('banner').getByRole('button', { name: 'Stop everything' }).click();
  await expect(page.getByText('Everything is stopped')).toBeVisible();
  await expect(page.getByRole('button', { name: 'Start the flood' })).toBeDisabled();
  await page.getByRole('button', { name: 'Release' }).click();
  await expect(page.getByText('Everything is stopped')).toBeHidden();
  expect(double.calls).toEqual([
    { method: 'flood.start', input: { service: 'shop.example', seconds: 12 } },
    { method: 'drill.start', input: { kind: 'udp-flood', autoApprove: true } },
    { method: 'emergency.stop', input: {} },
    { method: 'emergency.release', input: {} },
  ]);
});

test('a judged drill shows its verdict and every bar', async ({ page, openScene }) => {
  await openScene('after');
  await goTo(page, 'Drills');
  const drill = page.getByRole('article', { name: 'UDP flood, The hypothesis held' });
  await expect(drill.getByText('met', { exact: true })).toHaveCount(6);
  await expect(drill.getByRole('row', { name: /The service is away/ })).toContainText('419 ms');
});

test('the policy is set, the journal filtered and verified, latency compared', async ({
  page,
  openScene,
}) => {
  const { double } = await openScene('after');
  await goTo(page, 'Services');
  await page.getByRole('radio', { name: 'Go ahead' }).click();
  await expect(page.getByText('The move starts at once, without asking.')).toBeVisible();
  await goTo(page, 'Journal');
  await page.getByRole('searchbox', { name: 'Filter' }).fill('babbage');
  await expect(page.getByRole('main').getByRole('listitem')).toHaveCount(1);
  await page.getByRole('button', { name: 'Verify the chain' }).click();
  await expect(page.getByText('The chain holds: 13 records checked.')).toBeVisible();
  await goTo(page, 'Latency');
  await expect(page.getByRole('img', { name: /^Latency of shop.example/ })).toBeVisible();
  await expect(page.getByText('faster through the overlay, by the medians')).toBeVisible();
  expect(double.calls.map((call) => call.method)).toEqual(['service.policy', 'journal.verify']);
});

test('a path is chosen, with what it keeps secret beside it', async ({ page, openScene }) => {
  const { double } = await openScene('rest');
  await goTo(page, 'Services');
  const choice = page.getByRole('group', { name: 'How people reach it through the overlay' });
  await expect(choice).toContainText('Any of 7 nodes may talk to the site (2.8 bits)');
  await choice.getByRole('combobox').selectOption({ label: 'the nearest of 3 random servlets' });
  await expect(choice).toContainText('As secret as 3.8 nodes instead of 7 (1.9 bits)');
  await choice.getByRole('radio', { name: 'One hop' }).click();
  await expect(choice).toContainText('whoever watches the access point sees the site');
  await choice.getByRole('radio', { name: 'Full ring' }).click();
  await expect(page.getByText('shop.example: full ring, for sessions that begin now.')).toBeVisible();
  expect(double.calls).toEqual(
    [
      { policy: 'two-hop', nearest: 3 },
      { policy: 'one-hop', nearest: 1 },
      { policy: 'full-ring', nearest: 1 },
    ].map((path) => ({ method: 'service.path', input: { service: 'shop.example', ...path } })),
  );
});

test('a fault shows its sentence and its code', async ({ page, openScene }) => {
  const { double } = await openScene('attack');
  double.faults.set('proposal.approve', {
    code: 'HALTED',
    message: 'Everything is stopped. Release it first, then approve again.',
  });
  await page.getByRole('button', { name: 'Approve' }).click();
  const alert = page.getByRole('alert').filter({ hasText: 'HALTED' });
  await expect(alert).toContainText('Release it first');
  await expect(page.getByRole('button', { name: 'Approve' })).toBeEnabled();
});
