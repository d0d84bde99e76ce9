import { readFile } from 'node:fs/promises';
import { generateKeyAndRequest } from '../../core/credentials/key-request.ts';
import { expect, goTo, test } from './fixtures.ts';

const service = 'shop.example';

test('admission: how people come into a service is shown and changed', async ({ page, openScene }) => {
  const { double } = await openScene('rest');
  await goTo(page, 'Services');
  const ways = page.getByRole('region', { name: 'How people come in' });
  await expect(ways.getByRole('button', { name: '3 certificates open it' })).toBeVisible();
  await expect(ways.getByRole('radio', { name: 'Open' })).toBeChecked();
  await expect(ways.getByRole('button', { name: '2 visitors are in by it' })).toBeVisible();
  await expect(ways.getByText('Katherine Johnson')).toBeVisible();

  await ways.getByLabel('A pass lasts').selectOption({ label: '15 min' });
  await expect(
    page.getByText('A pass lasts 15 min, from the next one on. 8 access points told.'),
  ).toBeVisible();
  await expect(ways.getByLabel('A pass lasts')).toHaveValue('15');
  await ways.getByRole('checkbox', { name: 'Sounds as well as letters' }).click();
  await expect(ways).toContainText('Who cannot see the letters has no way through the test.');
  await expect(ways.getByRole('checkbox')).not.toBeChecked();
  expect(double.calls).toEqual([
    { method: 'admission.set', input: { lifetimeMinutes: 15, open: [], close: [] } },
    { method: 'admission.set', input: { sound: 'off', open: [], close: [] } },
  ]);
});

test('admission: closing a service to the test asks while visitors are in it, opening does not', async ({
  page,
  openScene,
}) => {
  const { double } = await openScene('rest');
  await goTo(page, 'Services');
  const ways = page.getByRole('region', { name: 'How people come in' });
  await ways.getByRole('radio', { name: 'Closed' }).click();
  const dialog = page.getByRole('dialog', { name: `Close ${service} to the human test` });
  await expect(dialog).toContainText('2 visitors who came in by it are put out at once');
  await page.keyboard.press('Escape');
  await expect(dialog).toBeHidden();
  await expect(ways.getByRole('radio', { name: 'Open' })).toBeChecked();
  expect(double.calls).toEqual([]);

  await ways.getByRole('radio', { name: 'Closed' }).click();
  await dialog.getByRole('button', { name: 'Close it' }).click();
  await expect(ways.getByRole('radio', { name: 'Closed' })).toBeChecked();
  await expect(ways.getByLabel('A pass lasts')).toBeHidden();
  await ways.getByRole('radio', { name: 'Open' }).click();
  await expect(page.getByText(`${service} is open to whoever passes the human test.`)).toBeVisible();
  expect(double.calls).toEqual([
    { method: 'admission.set', input: { open: [], close: [service] } },
    { method: 'admission.set', input: { open: [service], close: [] } },
  ]);
});

test('admission: somebody is let in by password, sees the second step once, and is removed', async ({
  page,
  openScene,
}) => {
  const { double } = await openScene('rest');
  await goTo(page, 'Services');
  await page.getByRole('button', { name: 'Let somebody in' }).click();
  const form = page.getByRole('dialog', { name: 'Let somebody in by password' });
  await form.getByRole('button', { name: 'Let them in' }).click();
  await expect(form.getByText('Use at least 10 characters.')).toBeVisible();
  expect(double.calls).toEqual([]);
  await form.getByLabel('Name', { exact: true }).fill('Dorothy Vaughan');
  await form.getByRole('button', { name: 'Make one' }).click();
  await form.getByRole('button', { name: 'Let them in' }).click();
  await expect(form.getByRole('alert')).toContainText('has a password already');
  await expect(form.getByRole('alert')).toContainText('PERSON_KNOWN');
  await form.getByLabel('Name', { exact: true }).fill('Mary Jackson');
  await form.getByRole('button', { name: 'Let them in' }).click();

  const secret = page.getByRole('dialog', { name: 'Second step of Mary Jackson' });
  await expect(secret).toContainText('otpauth://totp/MOVE:Mary%20Jackson?secret=');
  await expect(secret).toContainText('JBSW Y3DP EHPK 3PXP');
  await page.keyboard.press('Escape');
  await expect(secret.getByRole('alert')).toContainText('Without it they cannot come in.');
  await secret.getByRole('button', { name: 'Copy For an authenticator' }).click();
  await expect(secret.getByRole('button', { name: 'Copied' })).toBeVisible();
  await secret.getByRole('button', { name: 'They have it' }).click();
  await expect(secret).toBeHidden();

  await page.getByRole('button', { name: 'Take the password of Mary Jackson away' }).click();
  const remove = page.getByRole('dialog', { name: 'Take the password of Mary Jackson away' });
  await expect(remove).toContainText(`come into ${service} by password no more`);
  await remove.getByRole('button', { name: 'Take it away' }).click();
  await expect(page.getByText('Mary Jackson has no password any more. 8 access points told.')).toBeVisible();
  await expect(page.getByRole('region', { name: 'How people come in' })).not.toContainText('Mary Jackson');
  expect(double.calls.map(({ method }) => method)).toEqual([
    'admission.addPerson',
    'admission.addPerson',
    'admission.removePerson',
  ]);
});

test('admission: a service that is added and a fault of core are both followed', async ({
  page,
  openScene,
}) => {
  const { double } = await openScene('rest');
  double.faults.set('admission.show', { code: 'PEOPLE_UNREADABLE', message: 'The list cannot be opened.' });
  await goTo(page, 'Services');
  const ways = page.getByRole('region', { name: 'How people come in' });
  await expect(ways.getByRole('alert')).toContainText('The list cannot be opened.');
  double.faults.clear();
  await ways.getByRole('button', { name: 'Ask again' }).click();
  await expect(ways.getByRole('radio', { name: 'Open' })).toBeChecked();
  const wiki = { ...double.state.services[service]!, id: 'wiki.example' };
  double.apply({ op: 'upsert', collection: 'services', id: wiki.id, value: wiki });
  await expect(
    page.getByRole('article', { name: 'wiki.example' }).getByRole('radio', { name: 'Closed' }),
  ).toBeChecked();
});

test('visitors are listed, found and revoked; the dialog says whether they can return', async ({
  page,
  openScene,
}) => {
  const { double } = await openScene('rest');
  await goTo(page, 'Services');
  await page.getByRole('button', { name: '2 visitors are in by it' }).click();
  await expect(page.getByRole('radio', { name: 'Visitors (3)' })).toBeChecked();
  await expect(page.getByRole('row')).toHaveCount(5);
  await expect(page.getByText('visitor 00d1e8b4')).toBeHidden();
  await expect(page.getByRole('row', { name: /e2c60f35/ })).toContainText('revoked');

  await page.getByRole('searchbox').fill('node-2');
  await expect(page.getByRole('row')).toHaveCount(2);
  await page.getByRole('button', { name: 'Revoke Dorothy Vaughan' }).click();
  const dialog = page.getByRole('dialog', { name: 'Revoke what Dorothy Vaughan earned' });
  await expect(dialog).toContainText('Cuts what node-2 carries for them within a second');
  await expect(dialog).toContainText('They keep their password and can come in again.');
  await dialog.getByRole('button', { name: 'Revoke', exact: true }).click();
  await expect(page.getByText('8 access points told within 38 ms')).toBeVisible();
  await expect(page.getByRole('row', { name: /Dorothy Vaughan/ })).toContainText('revoked');
  await expect(page.getByRole('radio', { name: 'Visitors (2)' })).toBeVisible();
  expect(double.calls).toEqual([{ method: 'admission.revoke', input: { serial: '7B20C0DE5577E1420C' } }]);
});

test('visitors: an empty list says what to do, and one whose time ends leaves it', async ({
  page,
  openScene,
}) => {
  const { double } = await openScene('rest');
  await goTo(page, 'Credentials');
  await page.getByRole('radio', { name: 'Visitors (3)' }).click();
  for (const [id, visitor] of Object.entries(double.state.visitors))
    double.apply({
      op: 'upsert',
      collection: 'visitors',
      id,
      value: { ...visitor, until: Date.now() + 1_500 },
    });
  await expect(page.getByText('Nobody is in without a certificate of their own')).toBeVisible();
});

test('a certificate request is pasted or chosen, signed and downloaded; refusals are said', async ({
  page,
  openScene,
}) => {
  const { requestPem, privateKeyPem } = await generateKeyAndRequest("Ada O'Hara");
  const { double } = await openScene('rest');
  await goTo(page, 'Credentials');
  await page.getByRole('button', { name: 'Sign a request' }).click();
  const form = page.getByRole('dialog', { name: 'Sign a request' });
  await expect(form).toContainText("-subj '/CN=NAME' -keyout NAME.key.pem -out NAME.request.pem");
  const name = form.getByLabel('Name', { exact: true });
  const request = form.getByRole('textbox', { name: 'Request' });
  await expect(name).toBeFocused();
  await name.fill("Ada O'Hara");
  await form.getByRole('button', { name: 'Copy the openssl command' }).click();
  await expect(form.getByRole('button', { name: 'Copied' })).toBeVisible();
  await request.focus();
  await page.keyboard.press('Control+v');
  await expect(request).toHaveValue(
    "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -utf8 -subj '/CN=Ada O'\\''Hara' -keyout Ada-O-Hara.key.pem -out Ada-O-Hara.request.pem",
  );
  await expect(form).toContainText('Paste the request, from');
  await request.fill(privateKeyPem);
  await expect(form).toContainText('This is a private key.');
  await form.getByRole('button', { name: 'Sign' }).click();
  expect(double.calls).toEqual([]);

  await name.fill('Ada Byron');
  await request.fill(requestPem);
  await expect(form).toContainText("The request says “Ada O'Hara”, not what stands above.");
  await form.getByRole('button', { name: 'Sign' }).click();
  await expect(form.getByRole('alert')).toContainText('not for "Ada Byron". REQUEST_INVALID');
  await form.getByRole('button', { name: "Take Ada O'Hara" }).click();
  await expect(form.getByRole('alert')).toBeHidden();
  await form.getByRole('radio', { name: 'Only these services' }).check();
  await form.getByRole('button', { name: 'Sign' }).click();

  const files = page.getByRole('dialog', { name: "Certificate for Ada O'Hara" });
  const download = page.waitForEvent('download');
  await files.getByRole('button', { name: 'Certificate (.pem)' }).click();
  const file = await download;
  expect(file.suggestedFilename()).toBe('Ada-O-Hara.certificate.pem');
  expect(await readFile(await file.path(), 'utf8')).toContain('-----BEGIN CERTIFICATE-----');
  await expect(files).toContainText('-in Ada-O-Hara.certificate.pem -inkey Ada-O-Hara.key.pem');
  await files.getByRole('button', { name: 'Done' }).click();
  await expect(page.getByRole('row', { name: /Ada O'Hara/ })).toContainText(service);
  expect(double.calls.map(({ method }) => method)).toEqual(['credential.sign', 'credential.sign']);
  expect(double.calls[1]!.input).toMatchObject({ name: "Ada O'Hara", services: [service], days: 30 });
});

test('a certificate request that is chosen as a file fills in its name; one that is too long is not read', async ({
  page,
  openScene,
}) => {
  const { requestPem } = await generateKeyAndRequest('Grace Hopper');
  await openScene('rest');
  await page.keyboard.press('Control+k');
  await page.keyboard.type('sign a certificate request');
  await page.keyboard.press('Enter');
  const form = page.getByRole('dialog', { name: 'Sign a request' });
  const choose = async (content: string) => {
    const chooser = page.waitForEvent('filechooser');
    await form.getByRole('button', { name: 'Choose a file' }).click();
    await (await chooser).setFiles({
      name: 'grace.request.pem',
      mimeType: 'application/x-pem-file',
      buffer: Buffer.from(content),
    });
  };
  await choose('x'.repeat(70_000));
  await expect(form).toContainText('This is no request: it has more than 64 KB.');
  await choose(requestPem);
  await expect(form.getByLabel('Name', { exact: true })).toHaveValue('Grace Hopper');
  await expect(form).toContainText('A request of Grace Hopper');
});

test('admission: read-only mode shows everything and changes nothing', async ({ page, openScene }) => {
  const { double } = await openScene('rest');
  double.apply({ op: 'patch', collection: 'console', id: 'console', value: { readOnly: true } });
  await goTo(page, 'Services');
  const ways = page.getByRole('region', { name: 'How people come in' });
  await expect(ways.getByText('Katherine Johnson')).toBeVisible();
  for (const control of [
    ways.getByRole('radio', { name: 'Closed' }),
    ways.getByLabel('A pass lasts'),
    ways.getByRole('checkbox'),
    ways.getByRole('button', { name: 'Let somebody in' }),
    ways.getByRole('button', { name: 'Take the password of Katherine Johnson away' }),
  ])
    await expect(control).toBeDisabled();
  await ways.getByRole('button', { name: '2 visitors are in by it' }).click();
  await expect(page.getByRole('button', { name: 'Revoke Dorothy Vaughan' })).toBeDisabled();
  await expect(page.getByRole('button', { name: 'Sign a request' })).toBeDisabled();
});
