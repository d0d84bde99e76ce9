import { MoveError } from '../errors.ts';

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
      return new MoveError(code, message.slice(0, 2000), details);
    }
  }
  return new MoveError(fallbackCode, 'The other end gave up without saying why.');
}
