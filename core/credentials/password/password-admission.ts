import type { Clock } from '../../runtime/clock.ts';
import { MoveError } from '../../runtime/errors.ts';
import type { Random } from '../../runtime/random.ts';
import { addressKey } from '../address-limits.ts';
import { GrowingPauses, type PauseBounds } from './growing-pauses.ts';
import { fromBase32, stepOfCode, toBase32 } from './one-time-code.ts';
import { hashOfNobody, matchesPassword } from './password-hash.ts';
import type { PasswordPeople, PasswordPerson } from './people.ts';

/** Names can be locked by who does not have them, so that their pauses stay short. */
const namePauses: PauseBounds = {
  free: 4,
  firstMs: 1000,
  longestMs: 60_000,
  forgetMs: 600_000,
  keys: 16_384,
};
const addressPauses: PauseBounds = {
  free: 8,
  firstMs: 1000,
  longestMs: 3_600_000,
  forgetMs: 600_000,
  keys: 16_384,
};

/** The bounds of {@link PasswordAdmission}. */
export interface PasswordBounds {
  names: PauseBounds;
  addresses: PauseBounds;
  /** Passwords that are hashed at one time, 32 MiB each; and those that wait for it. */
  atOnce: number;
  waiting: number;
}

export const passwordBounds: PasswordBounds = {
  names: namePauses,
  addresses: addressPauses,
  atOnce: 2,
  waiting: 16,
};

/**
 * Admits people by name, password and one-time code. Who fails pauses, longer each time, by name and by address.
 * A code counts once. An unknown name, a wrong password and a wrong code take the same work and get the same
 * answer. What it counts is kept in memory, within {@link PasswordBounds}.
 */
export class PasswordAdmission {
  readonly #clock: Clock;
  readonly #bounds: PasswordBounds;
  readonly #names: GrowingPauses;
  readonly #addresses: GrowingPauses;
  readonly #nobody: PasswordPerson;
  /** By name: the step of the last code that counted. */
  readonly #lastStep = new Map<string, number>();
  #people = new Map<string, PasswordPerson>();
  #hashing = 0;
  readonly #queue: (() => void)[] = [];

  constructor(options: {
    clock: Clock;
    random: Random;
    people: PasswordPeople;
    bounds?: Partial<PasswordBounds>;
  }) {
    this.#clock = options.clock;
    this.#bounds = { ...passwordBounds, ...options.bounds };
    this.#names = new GrowingPauses(options.clock, this.#bounds.names);
    this.#addresses = new GrowingPauses(options.clock, this.#bounds.addresses);
    this.#nobody = {
      name: '',
      hash: hashOfNobody(options.random),
      codeSecret: toBase32(options.random.bytes(20)),
      services: [],
    };
    this.replacePeople(options.people);
  }

  /** From now on, these people and no others. Pauses go on, and codes of those who stay that were used stay used. */
  replacePeople({ people }: PasswordPeople): void {
    this.#people = new Map(people.map((person) => [person.name.normalize('NFC'), person]));
    for (const name of this.#lastStep.keys()) if (!this.#people.has(name)) this.#lastStep.delete(name);
  }

  /**
   * Returns who somebody is and the services that he may reach.
   * @throws MoveError `ADMISSION_REFUSED` (name, password or code is wrong, or the code was used before),
   * `ADMISSION_PAUSED` (details: `retryAfterMs`), `ADMISSION_BUSY`, `ADDRESS_MALFORMED`.
   */
  async check(
    address: string,
    name: string,
    password: string,
    code: string,
  ): Promise<{ name: string; services: string[] }> {
    const from = addressKey(address);
    // cut off behind the longest name that there is, so that it is nobody's
    const given = name.normalize('NFC').trim().slice(0, 65);
    const retryAfterMs = Math.max(this.#addresses.pauseOf(from), this.#names.pauseOf(given));
    if (retryAfterMs > 0)
      throw new MoveError(
        'ADMISSION_PAUSED',
        `There were several wrong attempts. Wait ${Math.ceil(retryAfterMs / 1000)} s and try again.`,
        { retryAfterMs },
      );
    if (this.#queue.length >= this.#bounds.waiting)
      throw new MoveError('ADMISSION_BUSY', 'Many people sign in at the moment. Try again in a few seconds.');
    // counted before the work begins, so that many attempts at once count as many
    this.#names.failed(given);
    this.#addresses.failed(from);
    const person = await this.#judge(given, password, code);
    this.#names.clear(given);
    this.#addresses.undo(from);
    return { name: person.name, services: [...person.services] };
  }

  async #judge(name: string, password: string, code: string): Promise<PasswordPerson> {
    const known = this.#people.get(name);
    const person = known ?? this.#nobody;
    // longer ones are refused at enrolment, so that they match nobody
    const matches = await this.#inTurn(() => matchesPassword(password.slice(0, 512), person.hash));
    const step = stepOfCode(fromBase32(person.codeSecret), code.replaceAll(/\s/g, ''), this.#clock.now());
    const fresh = step !== null && step > (this.#lastStep.get(name) ?? -1);
    // somebody may have been taken off the list meanwhile
    if (!(known && this.#people.get(name) === known && matches && fresh))
      throw new MoveError(
        'ADMISSION_REFUSED',
        'The name, the password or the code is wrong, or the code was used before. Check them, and wait for the next code.',
      );
    this.#lastStep.set(name, step);
    return known;
  }

  async #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    if (this.#hashing >= this.#bounds.atOnce) await new Promise<void>((go) => this.#queue.push(go));
    else this.#hashing += 1;
    try {
      return await work();
    } finally {
      // the place goes to the next one, or becomes free
      const next = this.#queue.shift();
      if (next) next();
      else this.#hashing -= 1;
    }
  }
}
