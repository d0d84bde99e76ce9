import { randomUUID } from 'node:crypto';
import type { RenewCertificate } from '../overlay/client-calls.ts';
import { systemClock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';
import type { EventHub } from './event-hub.ts';

const answerLimitMs = 10_000;
const underWayAtMost = 64;

interface Answer {
  id: string;
  certificatePem: string | null;
  error: { code: string; message: string } | null;
}

/** Carries clients' requests for a renewed certificate to the control plane, which the agent cannot call. */
export class Renewals {
  readonly #events: EventHub;
  readonly #underWay = new Map<string, (answer: Answer) => void>();

  constructor(events: EventHub) {
    this.#events = events;
  }

  /** @throws MoveError the authority's reason; `RENEWAL_UNAVAILABLE` without a control plane, or in time. */
  readonly renew: RenewCertificate = ({ serial, requestPem }) => {
    if (!this.#events.isHeard || this.#underWay.size >= underWayAtMost)
      throw new MoveError(
        'RENEWAL_UNAVAILABLE',
        'The authority cannot be asked now; your certificate is still good, so try again later.',
      );
    const id = randomUUID();
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        cancel();
        this.#underWay.delete(id);
        act();
      };
      const cancel = systemClock.after(answerLimitMs, () =>
        settle(() =>
          reject(new MoveError('RENEWAL_UNAVAILABLE', 'The authority did not answer; try again later.')),
        ),
      );
      this.#underWay.set(id, ({ certificatePem, error }) =>
        settle(() => {
          if (certificatePem !== null) resolve({ certificatePem });
          else
            reject(new MoveError(error?.code ?? 'RENEWAL_DENIED', error?.message ?? 'It was not renewed.'));
        }),
      );
      this.#events.tell({ type: 'renewal', at: systemClock.now(), id, serial, requestPem });
    });
  };

  /** What the control plane answered; an answer that nobody waits for any more changes nothing. */
  answered(answer: Answer): void {
    this.#underWay.get(answer.id)?.(answer);
  }
}
