import { type Clock, systemClock } from '../runtime/clock.ts';
import { MoveError } from '../runtime/errors.ts';

/** Shorter than an access point waits for a site to answer, so that it hears why. */
const waitLimitMs = 4_000;
/** Who came first goes in first; all at once, the first answer would wait until the last of them is attached. */
const letInAtOnce = 3;
const letInEveryMs = 10;

interface Room {
  epoch: number;
  waiting: { enter: () => void; turnAway: (error: MoveError) => void }[];
}

/**
 * Where sessions wait that were told of a service's new site before it may be opened: its commit is journalled, and
 * the old copy is just being killed.
 */
export class WaitingRoom {
  readonly #clock: Clock;
  readonly #rooms = new Map<string, Room>();

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** Sessions of this epoch wait from now on, instead of hearing that the service is not here. */
  expect(service: string, epoch: number): void {
    const room = this.#rooms.get(service);
    if (room?.epoch === epoch) return;
    this.#rooms.set(service, { epoch, waiting: [] });
  }

  /** Lets in who waits, in the order they came. */
  open(service: string): void {
    const room = this.#rooms.get(service);
    if (!room) return;
    this.#rooms.delete(service);
    const letIn = () => {
      for (const { enter } of room.waiting.splice(0, letInAtOnce)) enter();
      if (room.waiting.length > 0) this.#clock.after(letInEveryMs, letIn);
    };
    letIn();
  }

  /**
   * Returns at once unless that epoch of the service is expected here.
   * @throws MoveError `SERVICE_MOVING` when it has not been opened after 4 s.
   */
  opened(service: string, epoch: number): Promise<void> {
    const room = this.#rooms.get(service);
    if (!room || room.epoch !== epoch) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const cancel = this.#clock.after(waitLimitMs, () =>
        turnAway(
          new MoveError('SERVICE_MOVING', `${service} is about to be opened here; its sessions wait.`),
        ),
      );
      const leave = () => {
        cancel();
        const place = room.waiting.indexOf(visitor);
        if (place !== -1) room.waiting.splice(place, 1);
      };
      const enter = () => {
        leave();
        resolve();
      };
      const turnAway = (error: MoveError) => {
        leave();
        reject(error);
      };
      const visitor = { enter, turnAway };
      room.waiting.push(visitor);
    });
  }
}
