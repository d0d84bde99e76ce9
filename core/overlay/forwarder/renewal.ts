import { createPrivateKey, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { CLOCK_SKEW_MS } from '../../credentials/certificate-draft.ts';
import { generateKeyAndRequest } from '../../credentials/key-request.ts';
import type { Clock } from '../../runtime/clock.ts';
import { MoveError, toMoveError } from '../../runtime/errors.ts';
import type { LinkIdentity } from '../../runtime/link/link-tls.ts';
import type { OverlayIdentity } from '../identity.ts';
import type { ForwarderEvents } from './forwarder-event.ts';

/** Of its life, what has to be over before a certificate is renewed. */
const renewAfter = 2 / 3;
const againMinMs = 2_000;
const againMaxMs = 3_600_000;
/** Timers of Node end at 24 days. */
const longestWaitMs = 24 * 3_600_000;
const answerLimitMs = 15_000;

const answerSchema = z.object({ certificatePem: z.string().startsWith('-----BEGIN ').max(16_384) });

export interface RenewalOptions {
  identity: LinkIdentity;
  /** Whom the certificate names. */
  holder: OverlayIdentity;
  /** Hands a certificate request to the access point. */
  ask(requestPem: string, limitMs: number): Promise<unknown>;
  /** Uses what came back. */
  use(identity: LinkIdentity): Promise<void>;
  /** Keeps it for the next start, where that is wanted. */
  save?: ((identity: LinkIdentity) => Promise<void>) | undefined;
  clock: Clock;
  events: ForwarderEvents;
}

/**
 * Renews the client's certificate when two thirds of its life are over: makes a new key, whose private half stays here, and
 * has the authority certify it for the same holder. A certificate that is bound to an address or an access point was
 * earned by a human test and is not renewed.
 */
export class Renewal {
  readonly #options: RenewalOptions;
  #identity: LinkIdentity;
  #certificate: X509Certificate;
  #cancel: () => void = () => undefined;
  #seenAt: number;
  #delayMs = againMinMs;
  #trouble: string | null = null;
  #stopped = false;

  constructor(options: RenewalOptions) {
    this.#options = options;
    this.#identity = options.identity;
    this.#seenAt = options.clock.now();
    this.#certificate = new X509Certificate(options.identity.certificatePem);
    if (!this.#isBound) this.#wait();
  }

  /** When the certificate ends, and what comes of it. */
  get status(): { name: string; notAfter: number; renewal: string } {
    const renewal = this.#isBound
      ? 'it is not renewed: pass the test again when it ends'
      : (this.#trouble ?? `it is renewed at ${new Date(this.#dueAt).toISOString()}`);
    return {
      name: this.#options.holder.name,
      notAfter: this.#certificate.validToDate.getTime(),
      renewal,
    };
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  get #isBound(): boolean {
    const { boundAddress, boundAccessPoint } = this.#options.holder;
    return boundAddress !== undefined || boundAccessPoint !== undefined;
  }

  get #dueAt(): number {
    const to = this.#certificate.validToDate.getTime();
    // The authority dates certificates back by as much as clocks may differ, or as it is old itself; their life
    // begins after that, and at the latest when they were seen first.
    const from = Math.min(this.#certificate.validFromDate.getTime() + CLOCK_SKEW_MS, this.#seenAt);
    return from + (to - from) * renewAfter;
  }

  #wait(): void {
    const leftMs = this.#dueAt - this.#options.clock.now();
    this.#later(Math.min(Math.max(0, leftMs), longestWaitMs), () => {
      if (this.#dueAt > this.#options.clock.now()) this.#wait();
      else void this.#renew();
    });
  }

  #later(delayMs: number, run: () => void): void {
    if (!this.#stopped) this.#cancel = this.#options.clock.after(delayMs, run);
  }

  async #renew(): Promise<void> {
    const { holder, ask, use, save, events } = this.#options;
    try {
      const { privateKeyPem, requestPem } = await generateKeyAndRequest(holder.name);
      const { certificatePem } = answerSchema.parse(await ask(requestPem, answerLimitMs));
      const certificate = new X509Certificate(certificatePem);
      if (this.#stopped) return;
      const next = { ...this.#identity, certificatePem, keyPem: privateKeyPem };
      this.#mustBeBetter(certificate, next);
      this.#identity = next;
      this.#certificate = certificate;
      this.#seenAt = this.#options.clock.now();
      this.#trouble = null;
      this.#delayMs = againMinMs;
      events({ type: 'renewed', notAfter: certificate.validToDate.getTime() });
      this.#wait();
      await save?.(next);
      await use(next);
    } catch (thrown) {
      const { code, message } = toMoveError(thrown);
      if (this.#stopped) return;
      this.#trouble = `it could not be renewed: ${message}`;
      events({ type: 'not-renewed', code, message });
      if (this.#dueAt > this.#options.clock.now()) return;
      this.#later(this.#delayMs, () => void this.#renew());
      this.#delayMs = Math.min(this.#delayMs * 2, againMaxMs);
    }
  }

  /** What came back must be the authority's, for the new key, and last longer than what is there. */
  #mustBeBetter(certificate: X509Certificate, { trustPem, keyPem }: LinkIdentity): void {
    const isIssued = trustPem
      .map((pem) => new X509Certificate(pem))
      .some((authority) => certificate.checkIssued(authority) && certificate.verify(authority.publicKey));
    const isOurs = certificate.publicKey.equals(new X509Certificate(this.#identity.certificatePem).publicKey);
    if (
      isIssued &&
      !isOurs &&
      certificate.validToDate > this.#certificate.validToDate &&
      matches(certificate, keyPem)
    )
      return;
    throw new MoveError('RENEWAL_WRONG', 'What came back is no renewal of this certificate.');
  }
}

function matches(certificate: X509Certificate, keyPem: string): boolean {
  return certificate.checkPrivateKey(createPrivateKey(keyPem));
}
