import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { PeopleFile } from '../../../core/control/people-file.ts';
import { secureRandom } from '../../../core/runtime/random.ts';
import { temporaryDirectory, withCode } from '../credentials/helpers.ts';

let directory: ReturnType<typeof temporaryDirectory>;
beforeEach(() => {
  directory = temporaryDirectory();
});
afterEach(() => directory.remove());

const open = (passphrase = 'correct horse battery') =>
  new PeopleFile({ home: directory.path, passphrase, random: secureRandom });
const grace = { name: 'Grace Example', password: 'a long enough word', services: ['shop.example'] };

it('keeps people sealed, for whoever has the passphrase', async () => {
  const { otpauth } = await open().add(grace);
  const secret = new URL(otpauth).searchParams.get('secret') ?? '';
  expect(await open().list()).toMatchObject([
    { name: 'Grace Example', codeSecret: secret, services: ['shop.example'] },
  ]);
  const file = join(directory.path, 'people.json');
  expect(readFileSync(file, 'utf8')).not.toMatch(new RegExp(`Grace|${secret}|shop`));
  expect(statSync(file).mode & 0o777).toBe(0o600);
  await expect(open('another passphrase').list()).rejects.toThrow(withCode('PEOPLE_UNREADABLE'));
});

it('knows each name once, and forgets whom it is told to', async () => {
  const people = open();
  await Promise.all([people.add(grace), people.add({ ...grace, name: 'Ada Example' })]);
  await expect(people.add(grace)).rejects.toThrow(withCode('PERSON_KNOWN'));
  await people.remove('Grace Example');
  await expect(people.remove('Grace Example')).rejects.toThrow(withCode('PERSON_UNKNOWN'));
  expect((await open().list()).map(({ name }) => name)).toEqual(['Ada Example']);
});
