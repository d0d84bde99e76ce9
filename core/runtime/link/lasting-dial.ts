import type { Duplex } from 'node:stream';
import { type Clock, systemClock } from '../clock.ts';
import { MoveError } from '../errors.ts';
import { type Random, secureRandom } from '../random.ts';
import { encodeOpening, LastingReply, replyBytes } from './lasting-opening.ts';
import { LastingWay } from './lasting-way.ts';

const retryFromMs = 20;
const retryToMs = 500;
const replyDeadlineMs = 3_000;

export interface DialLastingOptions {
  /** Makes a connection to the other end; called again whenever one breaks. */
  dial: () => Promise<Duplex>;
  giveUpMs: number;
  clock?: Clock;
  random?: Random;
}

/**
 * The dialling end of a lasting way. @throws what the first `dial` throws; what breaks later is mended or ends the
 * way after `giveUpMs`.
 */
export async function dialLastingWay(options: DialLastingOptions): Promise<LastingWay> {
  const clock = options.clock ?? systemClock;
  const token = (options.random ?? secureRandom).bytes(16);
  let delayMs = retryFromMs;
  let dialling = false;

  /** Says how far this end is, hears how far the other is, and goes on over the new connection. */
  const resume = async (): Promise<void> => {
    const carrier = await options.dial();
    carrier.on('error', () => undefined);
    if (way.destroyed) {
      carrier.destroy();
      return;
    }
    carrier.write(encodeOpening({ token, received: way.received, isFirst: false }));
    const reply = await readReply(carrier, clock);
    if (way.destroyed || !reply.isKnown) {
      carrier.destroy();
      if (!reply.isKnown)
        way.destroy(new MoveError('WAY_FORGOTTEN', 'The other end does not know this way any more.'));
      return;
    }
    way.use(carrier, reply.received);
  };
  const again = (): void => {
    if (dialling || way.destroyed) return;
    dialling = true;
    resume()
      .then(
        () => {
          delayMs = retryFromMs;
          return true;
        },
        () => false,
      )
      .then((done) => {
        dialling = false;
        if (way.destroyed || way.isCarried) return;
        const wait = done ? retryFromMs : delayMs;
        delayMs = Math.min(delayMs * 2, retryToMs);
        clock.after(wait, again);
      });
  };

  const first = await options.dial();
  first.on('error', () => undefined);
  const way = new LastingWay({ giveUpMs: options.giveUpMs, clock, onLost: again });
  first.write(encodeOpening({ token, received: 0, isFirst: true }));
  way.use(first, 0);
  return way;
}

function readReply(carrier: Duplex, clock: Clock): Promise<LastingReply> {
  return new Promise((resolve, reject) => {
    let gathered = Buffer.alloc(0);
    const settle = (act: () => void) => {
      cancel();
      carrier.off('data', onData);
      carrier.off('close', onClose);
      carrier.pause();
      act();
    };
    const onClose = () => settle(() => reject(new MoveError('WAY_LOST', 'A connection broke at once.')));
    const onData = (chunk: Buffer) => {
      gathered = Buffer.concat([gathered, chunk]);
      if (gathered.length < replyBytes) return;
      settle(() => {
        if (gathered.length > replyBytes) carrier.unshift(gathered.subarray(replyBytes));
        resolve(new LastingReply(gathered));
      });
    };
    const cancel = clock.after(replyDeadlineMs, () =>
      settle(() => {
        carrier.destroy();
        reject(new MoveError('DEADLINE_EXCEEDED', 'The other end of a way did not say how far it is.'));
      }),
    );
    carrier.on('data', onData);
    carrier.once('close', onClose);
  });
}
