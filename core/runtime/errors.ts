import { RemoteError } from '../contract/channel.ts';
import type { ErrorBody } from '../contract/error-body.ts';

/**
 * An error with a stable upper-case code (for example `SCOPE_DENIED`), a message written for people
 * and optional JSON-safe details. Every fault that crosses a room's edge is one of these.
 */
export class MoveError extends Error {
  readonly code: string;
  readonly details: Record<string, unknown>;

  constructor(code: string, message: string, details: Record<string, unknown> = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'MoveError';
    this.code = code;
    this.details = details;
  }

  /** The JSON form that crosses sockets and IPC; the stack stays behind. */
  toBody(): ErrorBody {
    return Object.keys(this.details).length > 0
      ? { code: this.code, message: this.message, details: this.details }
      : { code: this.code, message: this.message };
  }

  /** Rebuilds an error that came over a boundary. */
  static fromBody(body: ErrorBody): MoveError {
    return new MoveError(body.code, body.message, body.details ?? {});
  }
}

/**
 * Turns anything thrown into a MoveError. What is not one already becomes `INTERNAL` with a sentence
 * that points to the log; the original stays as `cause`.
 */
export function toMoveError(thrown: unknown): MoveError {
  if (thrown instanceof MoveError) return thrown;
  if (thrown instanceof RemoteError)
    return new MoveError(thrown.code, thrown.message, thrown.details, thrown);
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return new MoveError(
    'INTERNAL',
    `Something went wrong inside MOVE Console: ${text}. The log has the full story.`,
    {},
    thrown,
  );
}
