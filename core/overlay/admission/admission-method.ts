import type { MoveError } from '../../runtime/errors.ts';

/** Somebody who has passed: what to call them, and what they may reach. */
export interface Admission {
  /** At most 64 characters. */
  name: string;
  /** Host names. */
  services: readonly string[];
}

/** What somebody is asked before they are admitted. */
export type AdmissionQuestion =
  | {
      kind: 'challenge';
      id: string;
      form: 'image' | 'sound';
      /** The forms in which it may be taken now. */
      forms: readonly ('image' | 'sound')[];
      mediaType: string;
      media: Buffer;
      /** What one may answer with, or null for free text. */
      choices: readonly string[] | null;
      /** Work that the answer must come with, or null. */
      work: { prefix: string; bits: number } | null;
      /** Milliseconds since the epoch. */
      expiresAt: number;
    }
  | { kind: 'password' };

/**
 * One way to be admitted at an access point (MOVE section 2.2.2). Certificates are the way that needs no question:
 * the TLS handshake proves them; every other implements this port. Several stand side by side.
 */
export interface AdmissionMethod {
  readonly name: 'human-test' | 'password';
  /** Whether anybody can be admitted by it now, so that it is worth offering. */
  isOpen(): boolean;
  /** @throws MoveError when this address has to wait (details: `retryAfterMs`). */
  ask(address: string, form: string | undefined): AdmissionQuestion;
  /** Judges what was answered. @throws {MoveError} that says what was wrong with it. */
  judge(address: string, answer: URLSearchParams): Promise<Admission>;
}

/** What somebody who passed has earned. */
export interface AdmittedVisitor {
  method: string;
  name: string;
  /** Of the certificate, hexadecimal. */
  serial: string;
  services: readonly string[];
  /** Milliseconds since the epoch. */
  notAfter: number;
}

/** What an access point tells the journal of its admissions. */
export type AdmissionEvent =
  | ({ type: 'admitted'; address: string } & AdmittedVisitor)
  | { type: 'admission-refused'; method: string; address: string; error: MoveError };
