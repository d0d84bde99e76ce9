import { test as base, expect, type Page } from '@playwright/test';
import type { Service } from '../../core/contract/domain.ts';
import { ControlView } from './control-view.ts';
import { environmentNames as names, type RunningConsole } from './running-console.ts';

export const service = 'shop.example';

/**
 * A window on the running console, and the console's own view beside it. Every test begins with a calm lab:
 * the service runs, nothing floods, nothing waits, nothing is halted, whatever ran before and however it ended.
 * Where the service is is not said: a test that needs it somewhere takes it there. A fault in the page fails
 * the test.
 */
export const test = base.extend<{ possible: undefined; running: RunningConsole; control: ControlView }>({
  possible: [
    // biome-ignore lint/correctness/noEmptyPattern: Playwright reads which fixtures are wanted from the pattern
    async ({}, use, info) => {
      const impossible = process.env[names.impossible];
      info.skip(impossible !== undefined, impossible ?? '');
      await use(undefined);
    },
    { auto: true },
  ],
  // biome-ignore lint/correctness/noEmptyPattern: as above
  running: async ({}, use) => {
    const said = (name: string) => process.env[name] ?? '';
    await use({
      home: said(names.home),
      origin: said(names.origin),
      address: said(names.address),
      cookie: said(names.cookie),
    });
  },
  control: async ({ running }, use) => {
    const control = await ControlView.attach(running.home);
    await calm(control);
    await use(control);
    control.close();
  },
  page: async ({ page, context, running, control }, use) => {
    const faults: string[] = [];
    page.on('pageerror', (error) => faults.push(error.message));
    page.on('console', (message) => {
      // A lost connection is what one of the tests causes itself.
      if (message.type() === 'error' && !/WebSocket connection/.test(message.text()))
        faults.push(message.text());
    });
    const [name = '', value = ''] = running.cookie.split('=');
    await context.addCookies([{ name, value, url: running.origin, httpOnly: true, sameSite: 'Strict' }]);
    await page.goto(running.origin);
    await expect(page.getByRole('status').filter({ hasText: /^Connected$/ })).toBeVisible();
    expect(control.state.services[service]).toBeDefined();
    await use(page);
    expect(faults).toEqual([]);
  },
});

export { expect };

/** The service as the control plane sees it. */
export const serviceIn = (control: ControlView): Service => control.state.services[service]!;

/** Another site than the one the service is at, in another ISP, so that nothing is shared. */
export function elsewhere(control: ControlView): string {
  const { site } = serviceIn(control);
  const isp = control.state.sites[site]?.isp;
  const other = Object.values(control.state.sites).find((one) => one.isp !== isp && one.reach === 'up');
  if (!other) throw new Error('there is no other site');
  return other.id;
}

/** Goes to a room by the rail. */
export async function goTo(page: Page, room: string): Promise<void> {
  await page.getByRole('navigation').getByRole('button', { name: room }).click();
}

/** Takes the service to its home, where nothing of it is left elsewhere. */
export async function bringHome(control: ControlView): Promise<string> {
  const { homeSite } = serviceIn(control);
  await moveTo(control, homeSite);
  await control.until('its lifeline ends', (state) => Object.keys(state.lifelines).length === 0);
  return homeSite;
}

/** Takes the service away from its home, in another ISP, with an open lifeline to what stayed behind. */
export async function bringAway(control: ControlView): Promise<string> {
  const { site, homeSite } = serviceIn(control);
  if (site === homeSite) await moveTo(control, elsewhere(control));
  await control.until('its lifeline is open', (state) => state.lifelines[service]?.state === 'open');
  return serviceIn(control).site;
}

async function moveTo(control: ControlView, to: string): Promise<void> {
  if (serviceIn(control).site === to) return;
  const { move } = await control.client.call('move.start', { service, to });
  await control.until(`it has moved to ${to}`, (state) => state.moves[move.id]?.endedAt, 60_000);
  expect(control.state.moves[move.id]).toMatchObject({ state: 'done', error: null });
}

/** Ends every flood, drill and move that has not been committed, as a person would. */
export async function endEverything(control: ControlView): Promise<void> {
  await control.client.call('emergency.stop', {});
  await control.client.call('service.policy', { service, policy: 'approve' });
  await control.client.call('emergency.release', {});
}

async function calm(control: ControlView): Promise<void> {
  await control.until('the lab answers', (state) => state.console.console?.phase === 'ready', 60_000);
  const { floods, drills, moves, console: info } = control.state;
  const underWay =
    Object.keys(floods).length > 0 ||
    [...Object.values(drills), ...Object.values(moves)].some(({ endedAt }) => endedAt === null);
  if (underWay || info.console?.halted) await endEverything(control);
  else await control.client.call('service.policy', { service, policy: 'approve' });
  await control.until(
    'nothing is under way any more',
    (state) =>
      Object.keys(state.floods).length === 0 &&
      [...Object.values(state.drills), ...Object.values(state.moves)].every(({ endedAt }) => endedAt),
    60_000,
  );
  await control.until(
    'no site is attacked and nothing waits',
    (state) =>
      !Object.values(state.sites).some((site) => site.attacked) &&
      !Object.values(state.proposals).some((proposal) => proposal.state === 'waiting'),
  );
  await control.until('the service runs', (state) => state.services[service]?.state === 'running');
}
