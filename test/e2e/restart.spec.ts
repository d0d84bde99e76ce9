import { homeLockHolder } from '../../core/control/home-lock.ts';
import { ControlView } from './control-view.ts';
import { expect, service, serviceIn, test } from './fixtures.ts';

test('when the control plane is killed, the window says so and is back by itself', async ({
  page,
  control,
  running,
}) => {
  const before = serviceIn(control);
  const old = homeLockHolder(running.home)!;
  expect(old).toBeGreaterThan(1);
  // It is back within seconds: who looks for the banner only afterwards may come too late.
  const said = page.getByRole('alert').filter({ hasText: 'Disconnected since' }).waitFor();
  process.kill(old, 'SIGKILL');
  await said;
  await expect(page.getByTestId('answer')).toContainText(service);
  await expect(page.getByRole('status').filter({ hasText: /^Connected$/ })).toBeVisible({ timeout: 30_000 });

  const next = await ControlView.attach(running.home);
  try {
    await next.until('the service is found again', (state) => state.services[service]?.state === 'running');
    expect(serviceIn(next)).toMatchObject({ site: before.site, epoch: before.epoch });
  } finally {
    next.close();
  }
  await expect(page.getByRole('button', { name: /^hosting site .*live/ })).toHaveCount(1);
  await expect(page.getByRole('button', { name: /^client client-1, overlay \d/ })).toBeVisible({
    timeout: 30_000,
  });
});
