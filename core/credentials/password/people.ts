import { z } from 'zod';
import { MoveError } from '../../runtime/errors.ts';
import type { Random } from '../../runtime/random.ts';
import { isPersonName, isServiceName } from '../names.ts';
import { codeDigits, codeSeconds, toBase32 } from './one-time-code.ts';
import { hashPassword, passwordHashSchema } from './password-hash.ts';

const longestPassword = 256;
const shortestPassword = 10;

/** One who may come in by password and one-time code. Holds secrets: for disks and links that are encrypted. */
export const passwordPersonSchema = z.strictObject({
  name: z.string().refine(isPersonName, 'not a name of a person'),
  hash: passwordHashSchema,
  /** The secret of the one-time codes (RFC 6238), base32. */
  codeSecret: z.string().regex(/^[A-Z2-7]{26,64}$/),
  /** The services that the person may reach. */
  services: z.array(z.string().refine(isServiceName, 'not a name of a service')).min(1).max(64),
});
export type PasswordPerson = z.infer<typeof passwordPersonSchema>;

/** Everybody who may, as control hands it to access points. */
export const passwordPeopleSchema = z.strictObject({
  version: z.literal(1),
  people: z
    .array(passwordPersonSchema)
    .max(10_000)
    .refine(
      (people) => new Set(people.map(({ name }) => name)).size === people.length,
      'a name occurs twice',
    ),
});
export type PasswordPeople = z.infer<typeof passwordPeopleSchema>;

/**
 * Makes a person of a name, a password (10 to 256 characters) and services. Returns also the otpauth:// address
 * that an authenticator program takes, once: it holds the secret, is not kept, and belongs into no log.
 * @throws MoveError `NAME_INVALID`, `PASSWORD_UNFIT`, `SERVICE_INVALID`.
 */
export async function enrolPerson(
  request: { name: string; password: string; services: readonly string[]; issuer: string },
  random: Random,
): Promise<{ person: PasswordPerson; otpauth: string }> {
  const { name, password, services, issuer } = request;
  if (!isPersonName(name))
    throw new MoveError(
      'NAME_INVALID',
      "A name has 1 to 64 letters, digits, spaces and . _ ' @ + - and neither begins nor ends with a space.",
      { name },
    );
  if (password.length < shortestPassword || password.length > longestPassword)
    throw new MoveError(
      'PASSWORD_UNFIT',
      `A password has ${shortestPassword} to ${longestPassword} characters. Choose another one.`,
    );
  const wrong = services.find((service) => !isServiceName(service));
  if (wrong !== undefined || services.length === 0 || services.length > 64)
    throw new MoveError('SERVICE_INVALID', 'Name 1 to 64 services by their host names.', { service: wrong });
  const codeSecret = toBase32(random.bytes(20));
  const hash = await hashPassword(password, random);
  return {
    person: { name: name.normalize('NFC'), hash, codeSecret, services: [...new Set(services)] },
    otpauth: otpauthAddress(issuer, name, codeSecret),
  };
}

function otpauthAddress(issuer: string, name: string, secret: string): string {
  const label = `${encodeURIComponent(issuer)}:${encodeURIComponent(name)}`;
  const details = [
    `secret=${secret}`,
    `issuer=${encodeURIComponent(issuer)}`,
    'algorithm=SHA1',
    `digits=${codeDigits}`,
    `period=${codeSeconds}`,
  ];
  return `otpauth://totp/${label}?${details.join('&')}`;
}
