import { describe, expect, it } from 'vitest';
import { codeAt, codeSeconds, fromBase32 } from '../../../../core/credentials/password/one-time-code.ts';
import {
  PasswordAdmission,
  type PasswordBounds,
} from '../../../../core/credentials/password/password-admission.ts';
import {
  enrolPerson,
  type PasswordPeople,
  passwordPeopleSchema,
} from '../../../../core/credentials/password/people.ts';
import { secureRandom } from '../../../../core/runtime/random.ts';
import { HandClock } from '../../../support/hand-clock.ts';

const here = '192.0.2.7';
const password = 'a pässword of some length';
const services = ['www.example.com', 'mail.example.com'];

const alice = await enrolPerson({ name: 'Alice', password, services, issuer: 'MOVE Console' }, secureRandom);
const bob = await enrolPerson(
  { name: 'Bob', password: 'another password', services: ['www.example.com'], issuer: 'MOVE Console' },
  secureRandom,
);
// as control hands it on
const people: PasswordPeople = passwordPeopleSchema.parse(
  JSON.parse(JSON.stringify({ version: 1, people: [alice.person, bob.person] })),
);

function world(bounds: Partial<PasswordBounds> = {}) {
  const clock = new HandClock(1_700_000_000_000);
  const admission = new PasswordAdmission({ clock, random: secureRandom, people, bounds });
  const code = (person = alice.person) =>
    codeAt(fromBase32(person.codeSecret), Math.floor(clock.now() / 1000 / codeSeconds));
  return { clock, admission, code };
}

const codeOf = (check: Promise<unknown>) =>
  check.then(
    () => 'admitted',
    (thrown) => thrown.code as string,
  );

describe('enrolment', () => {
  it('hands the secret out once, as authenticator programs take it', () => {
    const address = new URL(alice.otpauth);
    expect(address.protocol).toBe('otpauth:');
    expect(decodeURIComponent(`${address.host}${address.pathname}`)).toBe('totp/MOVE Console:Alice');
    expect(Object.fromEntries(address.searchParams)).toEqual({
      secret: alice.person.codeSecret,
      issuer: 'MOVE Console',
      algorithm: 'SHA1',
      digits: '6',
      period: '30',
    });
    expect(fromBase32(alice.person.codeSecret)).toHaveLength(20);
  });

  it('keeps a salted hash of at least 2^15 rounds of memory, and no password', () => {
    expect(alice.person.hash.N).toBeGreaterThanOrEqual(2 ** 15);
    expect(JSON.stringify(alice.person)).not.toContain('ssword');
    expect(alice.person.hash.salt).not.toBe(bob.person.hash.salt);
  });

  it('refuses what does not fit', async () => {
    const enrol = (change: object) =>
      codeOf(enrolPerson({ name: 'C', password, services, issuer: 'x', ...change }, secureRandom));
    expect(await enrol({ name: ' C' })).toBe('NAME_INVALID');
    expect(await enrol({ password: 'short' })).toBe('PASSWORD_UNFIT');
    expect(await enrol({ password: 'x'.repeat(257) })).toBe('PASSWORD_UNFIT');
    expect(await enrol({ services: [] })).toBe('SERVICE_INVALID');
    expect(await enrol({ services: ['no service!'] })).toBe('SERVICE_INVALID');
  });

  it('is refused on the way to an access point when it was weakened or doubled', () => {
    const weak = { ...alice.person, hash: { ...alice.person.hash, N: 2 ** 14 } };
    for (const wrong of [[weak], [alice.person, alice.person], [{ ...alice.person, codeSecret: 'ABC' }]])
      expect(passwordPeopleSchema.safeParse({ version: 1, people: wrong }).success).toBe(false);
  });
});

describe('admission by password', () => {
  it('admits by name, password and code, in either form of an umlaut', async () => {
    const { clock, admission, code } = world();
    expect(await admission.check(here, 'Alice', password, code())).toEqual({ name: 'Alice', services });
    clock.turn(codeSeconds * 1000);
    const spaced = `${code().slice(0, 3)} ${code().slice(3)}`;
    expect(await codeOf(admission.check(here, 'Alice', password.normalize('NFD'), spaced))).toBe('admitted');
  });

  it('gives one answer to a wrong name, a wrong password, a wrong code and another’s code', async () => {
    const { admission, code } = world();
    const attempts = [
      admission.check(here, 'Mallory', password, code()),
      admission.check(here, 'Alice', 'not the password', code()),
      admission.check(here, 'Alice', password, code() === '000000' ? '000001' : '000000'),
      admission.check(here, 'Alice', password, code(bob.person)),
    ];
    const answers = await Promise.allSettled(attempts);
    const said = answers.map((answer) =>
      answer.status === 'rejected' ? answer.reason.toBody() : 'admitted',
    );
    expect(new Set(said.map((body) => JSON.stringify(body))).size).toBe(1);
    expect(said[0]).toMatchObject({ code: 'ADMISSION_REFUSED' });
  });

  it('does the same work for a name that nobody has', async () => {
    const { admission, code } = world({
      names: { free: 99, firstMs: 1, longestMs: 1, forgetMs: 1, keys: 99 },
    });
    const cost = async (name: string) => {
      const before = process.cpuUsage();
      await codeOf(admission.check(here, name, 'wrong password', code()));
      const { user, system } = process.cpuUsage(before);
      return user + system;
    };
    const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;
    const known: number[] = [];
    const unknown: number[] = [];
    for (let round = 0; round < 3; round += 1) {
      known.push(await cost('Alice'));
      unknown.push(await cost('Mallory'));
    }
    // scrypt is nearly all of it: without it, this ratio would be a hundred
    expect(median(unknown) / median(known)).toBeGreaterThan(0.4);
    expect(median(unknown) / median(known)).toBeLessThan(2.5);
  });

  it('takes a code once, also when it comes twice at the same time', async () => {
    const { clock, admission, code } = world();
    const twice = await Promise.all(
      [1, 2].map(() => codeOf(admission.check(here, 'Alice', password, code()))),
    );
    expect(twice.sort()).toEqual(['ADMISSION_REFUSED', 'admitted']);
    const old = code();
    clock.turn(codeSeconds * 1000);
    expect(await codeOf(admission.check(here, 'Alice', password, old))).toBe('ADMISSION_REFUSED');
    expect(await codeOf(admission.check(here, 'Alice', password, code()))).toBe('admitted');
  });

  it('lets a name pause, longer each time, from whatever address, and others go on', async () => {
    const { clock, admission, code } = world({
      names: { free: 1, firstMs: 1000, longestMs: 60_000, forgetMs: 600_000, keys: 100 },
    });
    for (const pause of [1000, 2000]) {
      expect(await codeOf(admission.check(here, 'Alice', 'wrong', code()))).toBe('ADMISSION_REFUSED');
      const paused = admission.check('198.51.100.1', 'Alice', password, code());
      await expect(paused).rejects.toMatchObject({
        code: 'ADMISSION_PAUSED',
        details: { retryAfterMs: pause },
      });
      clock.turn(pause);
    }
    const other = admission.check('198.51.100.2', 'Bob', 'another password', code(bob.person));
    expect(await codeOf(other)).toBe('admitted');
    expect(await codeOf(admission.check(here, 'Alice', password, code()))).toBe('admitted');
    // success forgets the name's failures
    expect(await codeOf(admission.check(here, 'Alice', 'wrong', code()))).toBe('ADMISSION_REFUSED');
    clock.turn(1000);
    expect(await codeOf(admission.check(here, 'Alice', 'wrong', code()))).toBe('ADMISSION_REFUSED');
  });

  it('lets an address pause that tries many names, and success there does not wipe the slate', async () => {
    const { clock, admission, code } = world({
      addresses: { free: 2, firstMs: 5000, longestMs: 60_000, forgetMs: 600_000, keys: 100 },
    });
    expect(await codeOf(admission.check(here, 'one', 'wrong', '000000'))).toBe('ADMISSION_REFUSED');
    expect(await codeOf(admission.check(here, 'Alice', password, code()))).toBe('admitted');
    expect(await codeOf(admission.check(here, 'two', 'wrong', '000000'))).toBe('ADMISSION_REFUSED');
    expect(await codeOf(admission.check(here, 'three', 'wrong', '000000'))).toBe('ADMISSION_PAUSED');
    expect(await codeOf(admission.check('192.0.2.8', 'three', 'wrong', '000000'))).toBe('ADMISSION_REFUSED');
    clock.turn(5000);
    expect(await codeOf(admission.check(here, 'three', 'wrong', '000000'))).toBe('ADMISSION_REFUSED');
  });

  it('counts attempts at the same time as many', async () => {
    const { admission, code } = world({
      names: { free: 2, firstMs: 1000, longestMs: 1000, forgetMs: 600_000, keys: 100 },
    });
    const attempts = Array.from({ length: 5 }, () => codeOf(admission.check(here, 'Alice', 'wrong', code())));
    expect((await Promise.all(attempts)).sort()).toEqual([
      ...Array.from({ length: 3 }, () => 'ADMISSION_PAUSED'),
      ...Array.from({ length: 2 }, () => 'ADMISSION_REFUSED'),
    ]);
  });

  it('lets a bounded number wait for the work', async () => {
    const { admission } = world({ atOnce: 1, waiting: 2 });
    const attempts = Array.from({ length: 5 }, (_, index) =>
      codeOf(admission.check(`198.51.100.${index}`, `name ${index}`, 'wrong', '000000')),
    );
    expect((await Promise.all(attempts)).sort()).toEqual([
      ...Array.from({ length: 2 }, () => 'ADMISSION_BUSY'),
      ...Array.from({ length: 3 }, () => 'ADMISSION_REFUSED'),
    ]);
  });

  it('knows at once when somebody was taken off the list, even while he is being judged', async () => {
    const { clock, admission, code } = world();
    const judged = codeOf(admission.check(here, 'Alice', password, code()));
    admission.replacePeople({ version: 1, people: [bob.person] });
    expect(await judged).toBe('ADMISSION_REFUSED');
    clock.turn(codeSeconds * 1000);
    expect(await codeOf(admission.check(here, 'Alice', password, code()))).toBe('ADMISSION_REFUSED');
    expect(await codeOf(admission.check(here, 'Bob', 'another password', code(bob.person)))).toBe('admitted');
  });
});
