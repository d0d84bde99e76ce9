import { expect, test } from './fixtures.ts';

test('the map shows every node, site, stone, client and bot', async ({ page, openScene }) => {
  const { double } = await openScene('attack');
  const map = page.getByRole('group', { name: /^Live map/ });
  await expect(map.getByRole('button', { name: /^overlay node/ })).toHaveCount(8);
  await expect(map.getByRole('button', { name: /^hosting site/ })).toHaveCount(6);
  await expect(map.getByRole('button', { name: /^stepping stone/ })).toHaveCount(3);
  await expect(map.getByRole('button', { name: /^client/ })).toHaveCount(2);
  await expect(map.getByRole('button', { name: /^attacker/ })).toHaveCount(3);
  await expect(
    map.getByRole('button', { name: 'hosting site B1, live, attacked, shop, link 100 %' }),
  ).toBeVisible();
  await expect(map.getByRole('button', { name: /node-4, access point/ })).toBeVisible();
  await expect(map.getByRole('button', { name: /node-6, servlet/ })).toBeVisible();
  await expect(map.getByRole('button', { name: /node-7, directory/ })).toBeVisible();
  await expect(page.getByTestId('ring-words')).toContainText('8 nodes');
  await expect(page.getByTestId('ring-words')).toContainText('ring invariant holds');
  await expect(map.getByText('3 sources · 61 Mbit/s')).toBeVisible();
  double.apply({
    op: 'patch',
    collection: 'ring',
    id: 'ring',
    value: { holds: false, culprit: 'node-3', rule: 'at most one ring' },
  });
  await expect(page.getByTestId('ring-words')).toContainText('ring invariant broken');
  await expect(page.getByTestId('ring-words')).toContainText('node-3');
  await map.getByRole('button', { name: /^overlay node node-3/ }).click();
  await expect(page.getByRole('complementary', { name: 'node-3' })).toContainText('at most one ring');
  double.apply({ op: 'patch', collection: 'nodes', id: 'node-3', value: { flooded: true } });
  await expect(map.getByRole('button', { name: /^overlay node node-3, flooded/ })).toBeVisible();
  await expect(page.getByRole('complementary', { name: 'node-3' })).toContainText('clients go elsewhere');
});

test('after a move the old home is shown as left, the new site lives and the answer stands in figures', async ({
  page,
  openScene,
}) => {
  await openScene('after');
  await expect(page.getByRole('button', { name: /^hosting site A2, live, shop/ })).toBeVisible();
  await expect(page.getByRole('button', { name: /^hosting site B1, left, attacked/ })).toBeVisible();
  const answer = page.getByTestId('answer');
  await expect(answer).toContainText('moved from B1 to A2');
  await expect(answer).toContainText('0.42');
  await expect(answer).toContainText('0 of 214');
  await expect(page.locator('.lifeline-line')).toHaveCount(1);
});

test('nothing jumps when a node joins', async ({ page, openScene }) => {
  const { double } = await openScene('rest');
  const places = () =>
    page
      .getByRole('button', { name: /^overlay node node-[1-8],/ })
      .evaluateAll((nodes) => nodes.map((node) => node.getAttribute('transform')));
  await expect(page.getByRole('button', { name: /^overlay node/ })).toHaveCount(8);
  const before = await places();
  const node = double.state.nodes['node-1']!;
  double.apply({
    op: 'upsert',
    collection: 'nodes',
    id: 'node-9',
    value: { ...node, id: 'node-9', ringIdentifier: '7f00000000000000' },
  });
  await expect(page.getByRole('button', { name: /^overlay node/ })).toHaveCount(9);
  expect(await places()).toEqual(before);
});

test('density follows distance: figures near, dots far', async ({ page, openScene }) => {
  await openScene('rest');
  const load = page.getByText('link 0 %').first();
  await expect(load).toBeVisible();
  await page.getByRole('button', { name: /^hosting site A1/ }).focus();
  // As fast as they come: none is lost.
  for (let i = 0; i < 5; i += 1) await page.keyboard.press('-');
  await expect(page.locator('[data-lod=middle], [data-lod=far]')).toBeVisible();
  await expect(load).toBeHidden();
  await page.keyboard.press('0');
  await expect(load).toBeVisible();
});

test('a place that is pinned shows what is known about it', async ({ page, openScene }) => {
  await openScene('rest');
  await page.getByRole('button', { name: /^hosting site C1/ }).click();
  const inspector = page.getByRole('complementary', { name: 'C1' });
  await expect(inspector).toContainText('10.3.1.2');
  await inspector.getByRole('button', { name: 'Move shop.example to C1' }).click();
  await expect(page.getByRole('dialog', { name: 'Move shop.example' })).toBeVisible();
  await expect(page.getByRole('radio', { name: /^C1/ })).toBeChecked();
});

test('an empty lab says what to do; a huge one is drawn whole', async ({ page, openScene }) => {
  await openScene('empty');
  await expect(page.getByRole('heading', { name: 'The lab has no hosts yet' })).toBeVisible();
  await openScene('huge');
  await expect(page.getByRole('button', { name: /^overlay node/ })).toHaveCount(76);
  await expect(page.getByRole('button', { name: /^hosting site/ })).toHaveCount(72);
  await expect(page.getByTestId('ring-words')).toContainText('76 nodes');
});
