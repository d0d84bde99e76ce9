import type { PasswordAdmission } from '../../credentials/password/password-admission.ts';
import type { Admission, AdmissionMethod, AdmissionQuestion } from './admission-method.ts';

/** Admits people whom the administrator has listed, by name, password and one-time code. */
export class PasswordMethod implements AdmissionMethod {
  readonly name = 'password';
  readonly #passwords: PasswordAdmission;
  readonly #isOpen: () => boolean;

  constructor(parts: { passwords: PasswordAdmission; isOpen: () => boolean }) {
    this.#passwords = parts.passwords;
    this.#isOpen = parts.isOpen;
  }

  isOpen(): boolean {
    return this.#isOpen();
  }

  ask(): AdmissionQuestion {
    return { kind: 'password' };
  }

  /** @throws MoveError `ADMISSION_REFUSED`, `ADMISSION_PAUSED`, `ADMISSION_BUSY`. */
  judge(address: string, answer: URLSearchParams): Promise<Admission> {
    const field = (name: string) => answer.get(name) ?? '';
    return this.#passwords.check(address, field('name'), field('password'), field('code'));
  }
}
