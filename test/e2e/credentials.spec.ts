import { readFileSync } from 'node:fs';
import type { Page } from '@playwright/test';
import { expect, goTo, service, test } from './fixtures.ts';
import { firstLine, interrupt, onHost, startMove } from './running-console.ts';

const host = 'client-2';

async function downloaded(page: Page, button: string): Promise<string> {
  const coming = page.waitForEvent('download');
  await page.getByRole('button', { name: button }).click();
  return readFileSync(await (await coming).path(), 'utf8');
}

test('a certificate issued in the window opens the overlay, and revoking it closes it', async ({
  page,
  control,
  running,
}) => {
  const { home } = running;
  const name = `Ada Lovelace ${Date.now().toString(36)}`;
  await goTo(page, 'Credentials');
  await page.getByRole('button', { name: 'Issue a certificate' }).click();
  const form = page.getByRole('dialog', { name: 'Issue a certificate' });
  await form.getByLabel('Name', { exact: true }).fill(name);
  await form.getByRole('radio', { name: 'Only these services' }).check();
  await form.getByRole('combobox', { name: 'Only these services' }).fill(service);
  await form.getByRole('button', { name: 'Make one' }).click();
  await form.getByRole('button', { name: 'Issue', exact: true }).click();
  const files = page.getByRole('dialog', { name: `Certificate for ${name}` });
  await expect(files).toBeVisible();
  const pems = {
    certificate: await downloaded(page, 'Certificate (.pem)'),
    key: await downloaded(page, 'Key (.pem)'),
    trust: await downloaded(page, 'Trust store (.pem)'),
  };
  await files.getByRole('button', { name: 'I have saved it' }).click();

  for (const [file, pem] of Object.entries(pems)) {
    const put = await onHost(home, host, ['sh', '-c', `umask 077; cat > /tmp/ada.${file}`], { input: pem });
    expect(put.code).toBe(0);
  }
  const forwarder = startMove(home, [
    ...['lab', 'exec', host, '--', '/opt/move/bin/move', 'connect'],
    ...['--certificate', '/tmp/ada.certificate', '--key', '/tmp/ada.key', '--trust', '/tmp/ada.trust'],
    ...['--http', '127.0.0.1:3128'],
    ...Object.values(control.state.nodes)
      .slice(0, 2)
      .flatMap((node) => ['--access-point', `${node.address}:7400`]),
  ]);
  const curl = () =>
    onHost(home, host, [
      ...['curl', '-sS', '--max-time', '10', '--proxy', 'http://127.0.0.1:3128'],
      ...['-o', '/tmp/ada.page', '-w', '%{http_code} %{size_download}', `http://${service}/leaflet.txt`],
    ]);
  try {
    await firstLine(forwarder, 20_000);
    expect((await curl()).stdout).toBe('200 10240');

    await page.getByRole('button', { name: `Revoke ${name}` }).click();
    const revoke = page.getByRole('dialog', { name: `Revoke the certificate of ${name}` });
    await revoke.getByLabel('Reason').selectOption('keyCompromise');
    await revoke.getByRole('button', { name: 'Revoke', exact: true }).click();
    await expect(page.getByText(new RegExp(`^Revoked ${name}\\. 8 access points told within`))).toBeVisible();
    await expect(page.getByRole('row', { name: new RegExp(`${name}.*revoked`) })).toBeVisible();

    const refused = await curl();
    expect(refused.stdout).not.toMatch(/^200/);
    const entry = await control.until('the refusal is journalled', (state) =>
      Object.values(state.events).find(
        (event) => event.type === 'access.refused' && event.text.includes(name) && event.tone === 'attack',
      ),
    );
    await goTo(page, 'Journal');
    await expect(page.getByRole('main').getByText(entry.text).first()).toBeVisible();
  } finally {
    await onHost(home, host, ['sh', '-c', 'pkill -f bin/move; rm -f /tmp/ada.*']);
    await interrupt(forwarder, 10_000);
  }
});
