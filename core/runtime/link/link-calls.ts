import type { Clock } from '../clock.ts';
import { MoveError, toMoveError } from '../errors.ts';
import { errorFrame, peerError } from './error-body.ts';
import { frameType, jsonFrame } from './frames.ts';

interface CallParts {
  send(frame: Buffer): void;
  /** What answers calls now, if anything does. */
  handler(): ((method: string, params: unknown) => unknown) | undefined;
  maxCalls: number;
  clock: Clock;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: MoveError): void;
  cancelTimer(): void;
}

/** Requests and answers on a link, matched by number. */
export class LinkCalls {
  readonly #parts: CallParts;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #underWay = 0;

  constructor(parts: CallParts) {
    this.#parts = parts;
  }

  /** The method and parameters of a call or notice. @throws MoveError `LINK_PROTOCOL`. */
  static parse(message: unknown): { method: string; params: unknown } {
    if (typeof message === 'object' && message !== null && 'method' in message) {
      const { method } = message;
      if (typeof method === 'string')
        return { method, params: 'params' in message ? message.params : undefined };
    }
    throw new MoveError('LINK_PROTOCOL', 'The peer sent a call without a method.');
  }

  call(method: string, params: unknown, deadlineMs: number): Promise<unknown> {
    const id = this.#nextId;
    this.#nextId = id === 0xffffffff ? 1 : id + 1;
    return new Promise((resolve, reject) => {
      const frame = jsonFrame(frameType.call, id, { method, params });
      const cancelTimer = this.#parts.clock.after(deadlineMs, () => {
        this.#waiting.delete(id);
        reject(
          new MoveError('DEADLINE_EXCEEDED', `No answer to ${method} within ${deadlineMs} ms.`, {
            method,
            deadlineMs,
          }),
        );
      });
      this.#waiting.set(id, { resolve, reject, cancelTimer });
      this.#parts.send(frame);
    });
  }

  onFrame(type: number, id: number, message: unknown): void {
    if (type === frameType.call) {
      const { method, params } = LinkCalls.parse(message);
      void this.#answer(id, method, params);
      return;
    }
    const waiting = this.#waiting.get(id);
    // An answer may come after its deadline.
    if (!waiting) return;
    this.#waiting.delete(id);
    waiting.cancelTimer();
    if (type === frameType.result) waiting.resolve(message);
    else waiting.reject(peerError(message, 'CALL_FAILED'));
  }

  fail(error: MoveError): void {
    for (const waiting of this.#waiting.values()) {
      waiting.cancelTimer();
      waiting.reject(error);
    }
    this.#waiting.clear();
  }

  async #answer(id: number, method: string, params: unknown): Promise<void> {
    let frame: Buffer;
    const counted = this.#underWay < this.#parts.maxCalls;
    if (counted) this.#underWay += 1;
    try {
      const handler = this.#parts.handler();
      if (!counted)
        throw new MoveError('TOO_MANY_CALLS', 'Too many calls are under way on this link; wait for answers.');
      if (!handler)
        throw new MoveError('METHOD_UNKNOWN', `This end of the link does not answer ${method}.`, { method });
      frame = jsonFrame(frameType.result, id, await handler(method, params));
    } catch (thrown) {
      frame = errorFrame(frameType.fault, id, toMoveError(thrown));
    } finally {
      if (counted) this.#underWay -= 1;
    }
    this.#parts.send(frame);
  }
}
