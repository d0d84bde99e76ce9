import { MoveError } from '../errors.ts';
import { jsonFrame } from './frames.ts';

const maxSentence = 2000;
const maxDetailBytes = 8192;

/**
 * The error in a peer's message. A peer is not trusted to send a well-formed or short one: what does not
 * have the form of an ErrorBody becomes `fallbackCode`.
 */
export function peerError(value: unknown, fallbackCode: string): MoveError {
  if (typeof value === 'object' && value !== null && 'code' in value && 'message' in value) {
    const { code, message } = value;
    if (typeof code === 'string' && /^[A-Z][A-Z0-9_]{0,63}$/.test(code) && typeof message === 'string') {
      const details =
        'details' in value && typeof value.details === 'object' && value.details !== null
          ? { ...value.details }
          : {};
      return new MoveError(code, message.slice(0, maxSentence), details);
    }
  }
  return new MoveError(fallbackCode, 'The other end gave up without saying why.');
}

/**
 * A frame that tells the peer of an error. Errors repeat what they are about, and that may be as long as the peer's own
 * message: the sentence is cut, and details that are too long are left out, so that a frame can always be made.
 */
export function errorFrame(type: number, id: number, error: MoveError): Buffer {
  const body = error.toBody();
  const details =
    body.details && JSON.stringify(body.details).length <= maxDetailBytes ? body.details : undefined;
  return jsonFrame(type, id, {
    code: body.code,
    message: body.message.slice(0, maxSentence),
    ...(details ? { details } : {}),
  });
}
