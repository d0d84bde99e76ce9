import { X509Certificate } from 'node:crypto';
import type { ConstrainedAuthority, VisitorCredential } from '../../credentials/constrained-authority.ts';
import type { Clock } from '../../runtime/clock.ts';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import type { Random } from '../../runtime/random.ts';
import type {
  AdmissionEvent,
  AdmissionMethod,
  AdmissionQuestion,
  AdmittedVisitor,
} from './admission-method.ts';
import { maximumVisitors, type VisitorSession, VisitorSessions } from './visitor-sessions.ts';

export interface AdmissionDeskOptions {
  methods: readonly AdmissionMethod[];
  /** The access point's own authority. */
  authority: () => ConstrainedAuthority;
  /** Milliseconds for which passing admits. */
  lifetimeMs: () => number;
  events: (event: AdmissionEvent) => void;
  clock: Clock;
  random: Random;
}

/**
 * Admits people who hold no certificate yet, by whichever method they choose. What passing earns is a certificate of
 * the access point's constrained authority; their browser is given a session that stands for it.
 */
export class AdmissionDesk {
  readonly #options: AdmissionDeskOptions;
  readonly #sessions: VisitorSessions;
  /** By serial, oldest first. A certificate that was taken for a forwarder outlives the session that it came from. */
  readonly #admitted = new Map<string, AdmittedVisitor>();

  constructor(options: AdmissionDeskOptions) {
    this.#options = options;
    this.#sessions = new VisitorSessions(options.clock, options.random);
  }

  /** The methods by which somebody can be admitted now. */
  get open(): AdmissionMethod['name'][] {
    return this.#options.methods.filter((method) => method.isOpen()).map(({ name }) => name);
  }

  /** @throws MoveError `ADMISSION_CLOSED`, or the method's own reason. */
  ask(method: string, address: string, form?: string): AdmissionQuestion {
    return this.#method(method).ask(address, form);
  }

  /**
   * Judges an answer and admits. @throws MoveError `ADMISSION_CLOSED`, `TOO_MANY_VISITORS`, the method's own reason,
   * or the authority's.
   */
  async admit(
    method: string,
    address: string,
    answer: URLSearchParams,
  ): Promise<{ secret: string; session: VisitorSession }> {
    const chosen = this.#method(method);
    const { authority, lifetimeMs, events } = this.#options;
    this.#sessions.makeRoom(address);
    let admission: Awaited<ReturnType<AdmissionMethod['judge']>>;
    try {
      admission = await chosen.judge(address, answer);
    } catch (thrown) {
      const error = toMoveError(thrown);
      events({ type: 'admission-refused', method, address, error });
      throw error;
    }
    const credential = await authority().admit({ ...admission, address, lifetimeMs: lifetimeMs() });
    const { name, serial, notAfter } = credential.identity;
    const visitor = { method, name, serial, services: [...admission.services], notAfter };
    this.#remember(visitor);
    events({ type: 'admitted', address, ...visitor });
    const session = { credential, method, address, until: notAfter };
    return { secret: this.#sessions.begin(session), session };
  }

  /** The visitor whose browser holds this secret. @throws MoveError `ADDRESS_DENIED` from another address. */
  visitor(secret: string | undefined, address: string): VisitorSession | undefined {
    const session = this.#sessions.find(secret);
    if (!session || session.address === address) return session;
    throw new MoveError(
      'ADDRESS_DENIED',
      'You were admitted at another address than the one you come from now. Pass the test again from here.',
    );
  }

  /** Whether a session that was found before still counts. */
  isHere(session: VisitorSession): boolean {
    return this.#sessions.has(session);
  }

  /** Gives the same session a new secret; the old one is worth nothing any more. */
  renew(secret: string, session: VisitorSession): string {
    this.#sessions.end(secret);
    return this.#sessions.begin(session);
  }

  leave(secret: string): void {
    this.#sessions.end(secret);
  }

  /** A PKCS#12 of the visitor's certificate under a password that is made up. */
  pack(credential: VisitorCredential): Promise<{ pkcs12: Buffer; password: string }> {
    return this.#options.authority().pack(credential);
  }

  /** Judges every session again by its certificate; returns how many ended. */
  recheck(judge: (certificate: X509Certificate, address: string) => void): number {
    return this.#sessions.recheck(({ credential, address }) => {
      try {
        judge(new X509Certificate(credential.certificatePem), address);
        return true;
      } catch {
        // Why is told to the visitor when the next test is asked for; here only the verdict counts.
        return false;
      }
    });
  }

  /** Ends the sessions of visitors who would not be admitted to all of theirs any more; returns how many. */
  retain(wouldBeAdmitted: (session: VisitorSession) => boolean): number {
    return this.#sessions.recheck(wouldBeAdmitted);
  }

  /** Whoever has passed and whose certificate has not ended; of very many, those who passed last. */
  admitted(): AdmittedVisitor[] {
    const now = this.#options.clock.now();
    return [...this.#admitted.values()].filter(({ notAfter }) => notAfter > now);
  }

  /** How many visitors there are. */
  get visitors(): number {
    return this.#sessions.size;
  }

  #remember(visitor: AdmittedVisitor): void {
    if (this.#admitted.size >= 2 * maximumVisitors) {
      const now = this.#options.clock.now();
      for (const [serial, { notAfter }] of this.#admitted) if (notAfter <= now) this.#admitted.delete(serial);
      const [oldest] = this.#admitted.keys();
      if (this.#admitted.size >= 2 * maximumVisitors && oldest !== undefined) this.#admitted.delete(oldest);
    }
    this.#admitted.set(visitor.serial, visitor);
  }

  #method(name: string): AdmissionMethod {
    const method = this.#options.methods.find((candidate) => candidate.name === name && candidate.isOpen());
    if (method) return method;
    throw new MoveError(
      'ADMISSION_CLOSED',
      'This access point admits nobody this way. Use a certificate; the administrator issues them.',
    );
  }
}
