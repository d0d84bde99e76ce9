import type { Clock } from '../clock.ts';
import { MoveError } from '../errors.ts';
import { TokenBucket } from '../token-bucket.ts';
import type { RefusedPeer } from './link-tls.ts';

const each = { perSecond: 0.2, burst: 20 };
const codesAtMost = 32;

/**
 * Tells of refused connections one by one while they are few. Of a flood of them it tells one in five seconds for each
 * code, with the number of those that it kept to itself (`details.notTold`), so that an attacker cannot fill the journal.
 */
export class RefusalNotes {
  readonly #tell: (error: MoveError, peer: RefusedPeer) => void;
  readonly #clock: Clock;
  readonly #byCode = new Map<string, { bucket: TokenBucket; untold: number }>();

  constructor(tell: (error: MoveError, peer: RefusedPeer) => void, clock: Clock) {
    this.#tell = tell;
    this.#clock = clock;
  }

  note(code: string, peer: RefusedPeer, errorOf: () => MoveError): void {
    const now = this.#clock.monotonic();
    // Codes may be the peer's own words.
    const kind = this.#byCode.has(code) || this.#byCode.size < codesAtMost ? code : 'others';
    const kept = this.#byCode.get(kind) ?? { bucket: new TokenBucket(each, now), untold: 0 };
    this.#byCode.set(kind, kept);
    if (!kept.bucket.take(now)) {
      kept.untold += 1;
      return;
    }
    const error = errorOf();
    const told =
      kept.untold === 0
        ? error
        : new MoveError(
            error.code,
            `${error.message} So were ${kept.untold} others since the last note.`,
            { ...error.details, notTold: kept.untold },
            error,
          );
    kept.untold = 0;
    this.#tell(told, peer);
  }
}
