import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from 'node:crypto';
import { join } from 'node:path';
import { z } from 'zod';
import {
  enrolPerson,
  type PasswordPeople,
  type PasswordPerson,
  passwordPeopleSchema,
} from '../credentials/password/people.ts';
import { DurableFile } from '../runtime/durable-file.ts';
import { MoveError } from '../runtime/errors.ts';
import type { Random } from '../runtime/random.ts';

const sealedSchema = z.object({
  salt: z.string(),
  nonce: z.string(),
  tag: z.string(),
  sealed: z.string(),
});
type Sealed = z.infer<typeof sealedSchema>;
/** Cost of turning the passphrase into a key: 64 MiB, a fifth of a second. */
const scryptCost = { N: 65_536, r: 8, p: 1, maxmem: 96 << 20 };

/** Who may come in by password: their hashes and second steps, sealed at rest with the authority's passphrase. */
export class PeopleFile {
  readonly #file: DurableFile<Sealed | null>;
  readonly #passphrase: string;
  readonly #random: Random;
  #known: Promise<PasswordPeople> | undefined;
  #changing: Promise<unknown> = Promise.resolve();

  constructor(parts: { home: string; passphrase: string; random: Random }) {
    this.#file = new DurableFile<Sealed | null>(join(parts.home, 'people.json'), sealedSchema.nullable());
    this.#passphrase = parts.passphrase;
    this.#random = parts.random;
  }

  /** @throws MoveError `PEOPLE_UNREADABLE` when it was sealed with another passphrase, or changed. */
  async list(): Promise<PasswordPerson[]> {
    this.#known ??= this.#open();
    this.#known.catch(() => {
      this.#known = undefined;
    });
    return (await this.#known).people;
  }

  /** @throws MoveError `PERSON_KNOWN`, `NAME_INVALID`, `PASSWORD_UNFIT`, `SERVICE_INVALID`. */
  async add(request: { name: string; password: string; services: string[] }): Promise<{ otpauth: string }> {
    return this.#change(async (people) => {
      const name = request.name.normalize('NFC');
      if (people.some((person) => person.name === name))
        throw new MoveError(
          'PERSON_KNOWN',
          `${name} has a password already. Remove it first; the second step is made anew then.`,
          { name },
        );
      const { person, otpauth } = await enrolPerson({ ...request, issuer: 'MOVE' }, this.#random);
      return { people: [...people, person], result: { otpauth } };
    });
  }

  /** @throws MoveError `PERSON_UNKNOWN`. */
  async remove(name: string): Promise<void> {
    return this.#change(async (people) => {
      const rest = people.filter((person) => person.name !== name.normalize('NFC'));
      if (rest.length === people.length)
        throw new MoveError('PERSON_UNKNOWN', `Nobody called ${name} has a password.`, { name });
      return { people: rest, result: undefined };
    });
  }

  #change<Result>(
    act: (people: PasswordPerson[]) => Promise<{ people: PasswordPerson[]; result: Result }>,
  ): Promise<Result> {
    const next = this.#changing.then(async () => {
      const { people, result } = await act(await this.list());
      const value: PasswordPeople = { version: 1, people };
      await this.#file.write(this.#seal(JSON.stringify(value)));
      this.#known = Promise.resolve(value);
      return result;
    });
    this.#changing = next.catch(() => undefined);
    return next;
  }

  async #open(): Promise<PasswordPeople> {
    const sealed = await this.#file.read(null);
    if (!sealed) return { version: 1, people: [] };
    const bytes = (text: string) => Buffer.from(text, 'base64');
    try {
      const key = scryptSync(this.#passphrase, bytes(sealed.salt), 32, scryptCost);
      const decipher = createDecipheriv('aes-256-gcm', key, bytes(sealed.nonce));
      decipher.setAuthTag(bytes(sealed.tag));
      const text = Buffer.concat([decipher.update(bytes(sealed.sealed)), decipher.final()]).toString('utf8');
      return passwordPeopleSchema.parse(JSON.parse(text));
    } catch (cause) {
      throw new MoveError(
        'PEOPLE_UNREADABLE',
        'The list of people with passwords cannot be opened with this passphrase. Restore it, or remove people.json to begin anew.',
        {},
        cause,
      );
    }
  }

  #seal(text: string): Sealed {
    const [salt, nonce] = [randomBytes(16), randomBytes(12)];
    const cipher = createCipheriv('aes-256-gcm', scryptSync(this.#passphrase, salt, 32, scryptCost), nonce);
    const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
    const base64 = (bytes: Buffer) => bytes.toString('base64');
    return {
      salt: base64(salt),
      nonce: base64(nonce),
      tag: base64(cipher.getAuthTag()),
      sealed: base64(sealed),
    };
  }
}
