import type { Clock } from '../clock.ts';
import { MoveError } from '../errors.ts';
import { NoteLimit } from '../note-limit.ts';
import type { RefusedPeer } from './link-tls.ts';

const codesAtMost = 32;

/**
 * Tells of refused connections one by one while they are few. Of a flood of them it tells now and then one for each code,
 * with the number of those that it kept to itself (`details.notTold`).
 */
export class RefusalNotes {
  readonly #tell: (error: MoveError, peer: RefusedPeer) => void;
  readonly #limit: NoteLimit;

  constructor(tell: (error: MoveError, peer: RefusedPeer) => void, clock: Clock) {
    this.#tell = tell;
    // Codes may be the peer's own words.
    this.#limit = new NoteLimit(codesAtMost, clock);
  }

  note(code: string, peer: RefusedPeer, errorOf: () => MoveError): void {
    const passed = this.#limit.pass(code);
    if (!passed) return;
    const error = errorOf();
    const { untold } = passed;
    this.#tell(
      untold === 0
        ? error
        : new MoveError(
            error.code,
            `${error.message} So were ${untold} others since the last note.`,
            { ...error.details, notTold: untold },
            error,
          ),
      peer,
    );
  }
}
