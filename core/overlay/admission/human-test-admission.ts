import type { HumanTest } from '../../credentials/human-test/human-test.ts';
import type { Random } from '../../runtime/random.ts';
import type { Admission, AdmissionMethod, AdmissionQuestion } from './admission-method.ts';

/** Admits whoever passes the human test, without knowing who it is, to the services that are open to such people. */
export class HumanTestAdmission implements AdmissionMethod {
  readonly name = 'human-test';
  readonly #test: HumanTest;
  readonly #services: () => readonly string[];
  readonly #random: Random;

  constructor(parts: { test: HumanTest; services: () => readonly string[]; random: Random }) {
    this.#test = parts.test;
    this.#services = parts.services;
    this.#random = parts.random;
  }

  isOpen(): boolean {
    return this.#services().length > 0;
  }

  ask(address: string, form: string | undefined): AdmissionQuestion {
    const kind = form === 'sound' ? 'sound' : 'image';
    const { id, mediaType, media, choices, work, expiresAt } = this.#test.issue(address, kind);
    return {
      kind: 'challenge',
      form: kind,
      forms: this.#test.kinds,
      id,
      mediaType,
      media,
      choices,
      work,
      expiresAt,
    };
  }

  /** @throws MoveError `CHALLENGE_…` */
  async judge(address: string, answer: URLSearchParams): Promise<Admission> {
    const said = answer.getAll('answer').join(',');
    this.#test.answer(address, answer.get('id') ?? '', said, answer.get('work') ?? undefined);
    return {
      name: `visitor ${this.#random.bytes(4).toString('hex')}`,
      services: this.#services(),
    };
  }
}
